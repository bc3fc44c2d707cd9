"""Metrics: arrays in, numbers out; one file a family."""
