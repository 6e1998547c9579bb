from dbnet.models.backbones import ResNet
from dbnet.models.data_preprocessor import TextDetDataPreprocessor
from dbnet.models.detectors import DBNet
from dbnet.models.heads import DBHead
from dbnet.models.losses import DBLoss
from dbnet.models.necks import FPNC
from dbnet.models.postprocessors import DBPostprocessor

__all__ = [
    "FPNC",
    "DBHead",
    "DBLoss",
    "DBNet",
    "DBPostprocessor",
    "ResNet",
    "TextDetDataPreprocessor",
]
