"""Data sets: what they are called, where they lie, how their cells are read."""
