"""The model-image contract, version 1: frozen models of every file that crosses the boundary."""
