"""The detector from Python. Its modules are imported from, as they bring torch or do not."""
