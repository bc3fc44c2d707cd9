"""Sizes and durations as people write them, and text that a terminal can be shown."""

from __future__ import annotations

import math
import re

from czrun.errors import UsageError

_BYTES = {
    "": 1,
    "k": 1000,
    "m": 1000**2,
    "g": 1000**3,
    "t": 1000**4,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str) -> int:
    """Read a size such as ``4GiB``, ``500MB`` or ``1073741824``, in bytes; raises UsageError."""
    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d+)?)\s*([kmgt]i?|)b?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) == 0:
        raise UsageError(f"{text[:40]!r} is not a size.", "Write it like 4GiB, 512MiB or 500MB.")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def parse_seconds(text: str) -> float:
    """Read a duration such as ``30m``, ``90s`` or ``1h30m``, in seconds; raises UsageError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        raise UsageError(f"{text[:40]!r} is not a duration.", "Write it like 30m, 90s or 1h30m.")
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < total < math.inf:
        raise UsageError(f"{text[:40]!r}: a duration is longer than nothing, and ends.", "Write it like 30m.")
    return total


def show_bytes(size: float | None) -> str:
    """Write a size for a person: ``123 MiB``."""
    if size is None:
        return "–"
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def show_seconds(seconds: float | None) -> str:
    """Write a duration for a person: ``0.8 s``, ``2 min 05 s``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def printable(text: str) -> str:
    """Replace what would steer a terminal (escapes, carriage returns, bidi marks); newlines stay."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)
