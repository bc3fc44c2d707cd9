r"""Turn a terminal's screen into a picture of the README's.

tmux new-session -d -s picture -x 120 -y 30 'czrun evaluate --image czrun/logistic-regression:latest; sleep 9'
sleep 8; tmux capture-pane -t picture -p -e | uv run python docs/images/draw.py docs/images/evaluate.svg

COLUMNS=90 FORCE_COLOR=1 czrun datasets show kang.h5ad --plot | uv run python docs/images/draw.py \
    docs/images/datasets.svg "czrun datasets show kang.h5ad --plot"
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.ansi import AnsiDecoder  # noqa: TID251 - a picture of what rich drew
from rich.console import Console  # noqa: TID251 - a picture of what rich drew
from rich.text import Text  # noqa: TID251

COMMAND = "czrun evaluate --image czrun/logistic-regression:latest"


def draw(screen: str, target: Path, command: str = COMMAND) -> None:
    """Write the screen, without the empty lines at its end, as an SVG."""
    lines = list(AnsiDecoder().decode(screen.rstrip()))  # one decoder: a style may go on over the line's end
    console = Console(record=True, width=max(len(line) for line in lines) + 2, file=io.StringIO())
    console.print(Text(f"$ {command}", style="bold"))
    for line in lines:
        console.print(line)
    console.save_svg(str(target), title="czrun")


if __name__ == "__main__":
    draw(sys.stdin.read(), Path(sys.argv[1]), *sys.argv[2:])
