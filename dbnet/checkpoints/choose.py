"""Which config and which weights are meant."""

import os
from typing import TYPE_CHECKING

from dbnet.checkpoints.foreign import FOREIGN_CONFIG, is_onnx
from dbnet.checkpoints.model_folder import is_model_folder
from dbnet.errors import UserError
from dbnet.weights import SHIPPED, shipped_model

if TYPE_CHECKING:
    from mmengine.config import Config


def choose_model(
    config: "str | os.PathLike[str] | Config | None", checkpoint: str | os.PathLike[str] | None
) -> "tuple[str | os.PathLike[str] | Config, str]":
    """Complete what was given to a config and the weights that fit it.

    Args:
        config: A config, its name or file.
        checkpoint: Path or URL. The names of the package's models, "small", "turned" and "tiny",
            a model's folder (see `model_folder`), in the place of either, and other projects' ONNX
            files need no config. With neither it is the model "small".
    """
    if checkpoint is None:
        if config is None:
            checkpoint = next(iter(SHIPPED))
        elif is_model_folder(config) or (isinstance(config, str) and config in SHIPPED):
            config, checkpoint = None, str(config)
    source = str(checkpoint or "")
    if config is None:
        if source in SHIPPED and not os.path.exists(source):
            config, source = map(str, shipped_model(source))
        elif is_model_folder(source):
            config = source
        elif is_onnx(source):
            config = FOREIGN_CONFIG
    if config is None or not source:
        raise UserError(
            f"no {'config' if config is None else 'checkpoint'} given: give both a config and "
            "a checkpoint that fits it, a model's folder or an ONNX file alone, or neither for the "
            "weights that come with the package"
        )
    return config, source
