from dbnet.models.backbones.clip_resnet import CLIPResNet
from dbnet.models.backbones.onnx_graph import ONNXGraph
from dbnet.models.backbones.resnet import ResNet
from dbnet.models.data_preprocessor import TextDetDataPreprocessor
from dbnet.models.detectors.dbnet import DBNet
from dbnet.models.heads.db_head import DBHead
from dbnet.models.losses import DBLoss
from dbnet.models.necks.fpnc import FPNC
from dbnet.models.necks.scale_fusion import ScaleChannelSpatialAttention
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
