from dbnet.postprocessing import DBPostprocessor
from dbnet.registry import MODELS

MODELS.register_module(module=DBPostprocessor)

__all__ = ["DBPostprocessor"]
