from __future__ import annotations

import sys
from pathlib import Path

MODEL_IMAGES = Path(__file__).resolve().parents[2] / "model_images"

# The kit is no part of the installed package: an image copies it beside its model.py, and so do we.
sys.path.insert(0, str(MODEL_IMAGES / "_kit"))
