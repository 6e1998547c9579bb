"""Models outside PyTorch: `export` writes them, `runtimes` run them.

Who needs what: `metadata`, `runtimes` and `exported_network` import no torch, so that a detector
starts in under a second and fits a small image; the other modules export.
"""
