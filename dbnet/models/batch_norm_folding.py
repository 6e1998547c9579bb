import copy
import itertools

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck

from dbnet.models.backbones.clip_resnet import CLIPBottleneck
from dbnet.models.backbones.resnet import ResNet

# A convolution and the batch norm that takes its output, by their attributes.
NAMED_PAIRS: dict[type[nn.Module], list[tuple[str, str]]] = {
    ResNet: [("conv1", "bn1")],
    BasicBlock: [("conv1", "bn1"), ("conv2", "bn2")],
    Bottleneck: [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
    CLIPBottleneck: [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")],
}


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Make a model for evaluation that has its batch norms in the weights before them.

    In evaluation a batch norm is a scale and a shift per channel. The outputs agree to float32
    rounding. Deformable convolutions and layers that this module does not know stay as they are,
    and share their parameters with `model`, which is left alone.
    """
    folded = _restructurable(model)
    for module in folded.modules():
        for conv_name, norm_name in _pairs(module):
            conv, norm = getattr(module, conv_name), getattr(module, norm_name)
            if type(norm) is nn.BatchNorm2d and type(conv) in (nn.Conv2d, nn.ConvTranspose2d):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm, transposed))
                setattr(module, norm_name, nn.Identity())
    return folded


def _restructurable(module: nn.Module) -> nn.Module:
    """Copy the tree of modules, but no tensor, nor what their hooks refer to."""
    copied = copy.copy(module)
    children = {name: _restructurable(child) for name, child in module.named_children()}
    copied.__dict__["_modules"] = {**module._modules, **children}
    return copied


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    if type(module) is nn.Sequential:
        names = [name for name, _ in module.named_children()]
        return list(itertools.pairwise(names))
    return NAMED_PAIRS.get(type(module), [])
