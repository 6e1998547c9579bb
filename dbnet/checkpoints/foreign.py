"""Detectors whose network is a foreign graph: where their backbone gets it from."""

from pathlib import Path

from mmengine.config import Config

from dbnet.errors import UserError

# How such a detector is run, and trained, where no config is given.
FOREIGN_CONFIG = "dbnet_ppocr_finetune_icdar2015"


def is_onnx(checkpoint: str) -> bool:
    """Check whether a path is that of an ONNX file, by its name."""
    return Path(checkpoint).suffix == ".onnx"


def place_graph(config: Config, checkpoint: str) -> str | None:
    """Let a config's backbone take its graph from a checkpoint; other backbones have theirs.

    Args:
        config: Changed in its place.
        checkpoint: An ONNX file, refused for another backbone, or a checkpoint, in which the graph
            lies beside the weights.

    Returns:
        The checkpoint, for its weights to be loaded; None if building the model reads them.
    """
    backbone = (config.get("model") or {}).get("backbone") or {}
    if str(backbone.get("type")).split(".")[-1] == "ONNXGraph":
        backbone["file"] = checkpoint
        return None if is_onnx(checkpoint) else checkpoint
    if is_onnx(checkpoint):
        raise UserError(
            f"checkpoint {checkpoint}: is an ONNX file, which only a model whose backbone is an "
            f"ONNXGraph takes, such as that of the config {FOREIGN_CONFIG}"
        )
    return checkpoint
