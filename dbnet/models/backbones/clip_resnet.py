import re
from collections.abc import Mapping

from torch import Tensor, nn

from dbnet.models.backbones.resnet import STAGE_CHANNELS, StagedBackbone, load_imagenet_weights
from dbnet.registry import MODELS

EXPANSION = 4
STAGE_BLOCKS = (3, 4, 6, 3)
STEM_CHANNELS = 64


@MODELS.register_module()
class CLIPResNet(StagedBackbone):
    """ResNet-50 of CLIP and oCLIP that returns the features of its four stages.

    It differs from `ResNet` in three ways: the stem is three 3x3 convolutions and an average
    pooling; no convolution after the stem's first has a stride, an average pooling follows the 3x3
    convolution instead; and the shortcut is pooled before its 1x1 convolution. Names and shapes in
    the state dict are MMOCR's.

    Paper: https://arxiv.org/abs/2203.03911 (oCLIP), https://arxiv.org/abs/2103.00020 (CLIP).

    Arguments are those of `StagedBackbone`, `init_cfg` with a URL or a local file.
    """

    def __init__(
        self, frozen_stages: int = -1, norm_eval: bool = False, init_cfg: dict | None = None
    ) -> None:
        super().__init__(frozen_stages, norm_eval, init_cfg)
        self.stem = deep_stem(STEM_CHANNELS)
        self.maxpool = nn.AvgPool2d(2)  # MMOCR's name
        self.out_channels = tuple(channels * EXPANSION for channels in STAGE_CHANNELS)
        inputs, strides = (STEM_CHANNELS, *self.out_channels), (1, 2, 2, 2)
        self.layer1, self.layer2, self.layer3, self.layer4 = map(
            make_stage, inputs, STAGE_CHANNELS, STAGE_BLOCKS, strides
        )
        for module in self.modules():  # as torchvision starts its ResNet
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.keep_frozen()

    @property
    def stem_parts(self) -> list[nn.Module]:
        return [self.stem]

    def forward_stem(self, x: Tensor) -> Tensor:
        return self.maxpool(self.stem(x))

    def init_weights(self) -> None:
        """Load the oCLIP weights that `init_cfg` names, if any."""
        if self.init_cfg is not None:
            load_imagenet_weights(
                self, self.init_cfg["checkpoint"], what="oCLIP", rename=number_as_in_mmocr
            )


class CLIPBottleneck(nn.Module):
    """Bottleneck that halves the resolution by average pooling, where it does.

    Args:
        in_channels: Channels of the input.
        channels: Channels of the 3x3 convolution; the output has four times as many.
        stride: 1 or 2, of the poolings of the branch and of the shortcut.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 4 channels, H / stride, W / stride)."""
        branch = self.relu(self.bn1(self.conv1(x)))
        branch = self.pool(self.relu(self.bn2(self.conv2(branch))))
        return self.relu(self.bn3(self.conv3(branch)) + self.downsample(x))


def deep_stem(channels: int) -> nn.Sequential:
    """Three 3x3 convolutions, the first with stride 2: (N, 3, H, W) to (N, channels, H/2, W/2)."""
    layers: list[nn.Module] = []
    half = channels // 2
    for inputs, outputs, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
        conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def make_stage(in_channels: int, channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """Chain bottlenecks, of which the first has the stride."""
    first = CLIPBottleneck(in_channels, channels, stride)
    others = (CLIPBottleneck(channels * EXPANSION, channels) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *others)


def number_as_in_mmocr(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the stem's entries of a state dict in which oCLIP's own converter numbered them.

    That converter (bytedance/oclip, tools/convert2mmocr.py) counts the stem's layers without the
    ReLUs, 0 to 5, MMOCR's module with them. There index 2 is a ReLU, so it has no entry.
    """
    if "stem.2.weight" not in state:
        return dict(state)

    def renumber(found: re.Match) -> str:
        return f"stem.{int(found[1]) + int(found[1]) // 2}."

    return {re.sub(r"^stem\.([0-5])\.", renumber, key): value for key, value in state.items()}
