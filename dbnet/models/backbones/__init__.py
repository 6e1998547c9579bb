from dbnet.models.backbones.clip_resnet import CLIPResNet
from dbnet.models.backbones.onnx_graph import ONNXGraph
from dbnet.models.backbones.resnet import ResNet

__all__ = ["CLIPResNet", "ONNXGraph", "ResNet"]
