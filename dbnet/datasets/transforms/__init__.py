from dbnet.datasets.transforms.geometric import RandomAffineCrop
from dbnet.datasets.transforms.loading import LimitedResize, LoadImage, PackTextDetInputs, Resize
from dbnet.datasets.transforms.photometric import ColorJitter
from dbnet.datasets.transforms.scale_crop import RandomScaleCrop
from dbnet.datasets.transforms.targets import GenerateDBTargets

__all__ = [
    "ColorJitter",
    "GenerateDBTargets",
    "LimitedResize",
    "LoadImage",
    "PackTextDetInputs",
    "RandomAffineCrop",
    "RandomScaleCrop",
    "Resize",
]
