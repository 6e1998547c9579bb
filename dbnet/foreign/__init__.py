"""Detectors in ONNX files of other projects: read, checked and written in fewer words.

`read_onnx` opens a file, `normalise` folds what is constant and names what is spelt out in many
nodes, `lower` writes the rest as `Graph`, which is plain data: no code, and no ONNX, is needed to
build it again.
"""
