from dbnet.models.backbones import CLIPResNet, ONNXGraph, ResNet
from dbnet.models.data_preprocessor import TextDetDataPreprocessor
from dbnet.models.detectors import DBNet
from dbnet.models.heads import DBHead
from dbnet.models.losses import DBLoss
from dbnet.models.necks import FPNC, ScaleChannelSpatialAttention
from dbnet.models.postprocessors import DBPostprocessor

__all__ = [
    "FPNC",
    "CLIPResNet",
    "DBHead",
    "DBLoss",
    "DBNet",
    "DBPostprocessor",
    "ONNXGraph",
    "ResNet",
    "ScaleChannelSpatialAttention",
    "TextDetDataPreprocessor",
]
