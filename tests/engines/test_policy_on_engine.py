"""Each field of the launch policy, seen from inside a container: drop the field, and its test fails."""

from __future__ import annotations
