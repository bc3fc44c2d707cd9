"""A container's output, bounded: its head and its tail are kept, and what is shown can't drive a terminal."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HEAD_BYTES = 512 * 1024
TAIL_BYTES = 512 * 1024
RECENT_BYTES = 32 * 1024
LINE_CHARS = 500

# Complete escape sequences: OSC and other strings up to BEL or ST (or the line's end), CSI, two-byte ones.
_SEQUENCES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 without tab and newline, DEL, C1, and the marks that reorder text (CVE-2021-42574).
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return `text` without escape sequences and control characters, newlines and tabs excepted.

    A lone carriage return becomes a newline: what a progress bar overwrote stays readable.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _SEQUENCES.sub("", text))


def clip(text: str, limit: int = LINE_CHARS) -> str:
    """Cut one line of text to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


class Frames:
    """Takes an attach stream apart: 8-byte headers (stream, three zeros, length), then the bytes.

    Pieces are handed on as they come, a frame is never held as a whole.
    """

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def push(self, data: bytes) -> Iterator[bytes]:
        """Yield the output bytes in the next piece of the stream."""
        view = memoryview(data)
        while view:
            if self._left:
                yield bytes(view[: self._left])
                taken = min(self._left, len(view))
                self._left -= taken
            else:
                taken = min(8 - len(self._header), len(view))
                self._header += view[:taken]
                if len(self._header) == 8:
                    self._left = int.from_bytes(self._header[4:], "big")
                    self._header = b""
            view = view[taken:]


class BoundedLog:
    """Takes a container's output as it comes and keeps head and tail of it in a file.

    The head goes to ``<path>.part`` at once, so that it survives a kill of czrun; `close` adds the tail and
    renames the file into place. Memory stays below 2 MiB whatever comes. One thread feeds, others may ask for
    the last lines.

    Parameters
    ----------
    path
        The log file, replaced when it exists.
    """

    def __init__(self, path: Path, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._part.open("w", encoding="utf-8")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head_left = head_bytes
        self._tail_bytes = tail_bytes
        self._tail = bytearray()
        self._left_out = 0
        # Replaced as a whole, never changed in place: a reader in another thread sees one state or the next.
        self._recent = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._recent = (self._recent + data[-RECENT_BYTES:])[-RECENT_BYTES:]
        if self._head_left:
            head, data = data[: self._head_left], data[self._head_left :]
            self._head_left -= len(head)
            # A full disk must not end the reading, or the container would wait for ever: `close` raises it.
            with suppress(OSError):
                self._file.write(plain(self._decoder.decode(head)))
                self._file.flush()
        self._tail += data
        if len(self._tail) > 2 * self._tail_bytes:
            self._trim()

    def last_line(self) -> str:
        """Return the last line that isn't blank, safe to show."""
        lines = self.tail(1)
        return lines[0] if lines else ""

    def tail(self, count: int = 20) -> tuple[str, ...]:
        """Return the last `count` lines that aren't blank, safe to show, each cut to 500 characters."""
        text = plain(self._recent.decode("utf-8", "replace")).replace("\t", " ")
        lines = [clip(line.rstrip()) for line in text.split("\n") if line.strip()]
        return tuple(lines[-count:])

    def close(self) -> None:
        """Write the tail and put the file in its place; a second call does nothing."""
        if self._file.closed:
            return
        self._trim()
        with self._file:
            if self._left_out:
                self._file.write(plain(self._decoder.decode(b"", final=True)))
                self._file.write(f"\n… {self._left_out} bytes left out …\n")
                self._file.write(plain(self._tail.decode("utf-8", "replace")))
            else:
                self._file.write(plain(self._decoder.decode(bytes(self._tail), final=True)))
        self._part.replace(self._path)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _trim(self) -> None:
        surplus = max(0, len(self._tail) - self._tail_bytes)
        del self._tail[:surplus]
        self._left_out += surplus
