from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbnet.registry import MODELS


@MODELS.register_module()
class PPLCNetV4(nn.Module):
    """Backbone of PP-OCRv6's detectors, as it is after training.

    Re-parameterised branches and batch norms are folded into one convolution each, as in the
    exported file; the network has no norm, so that batches of any size train it. The defaults are
    those of the small detector: 1.8 M parameters.

    Paper: https://arxiv.org/abs/2606.13108.

    Args:
        stem_channels: Channels in the stem, at stride 2.
        channels: Channels of c2..c5.
        depths: Blocks of each stage after the one that halves the resolution (stage 1: the stem).

    Attributes:
        out_channels: Channels of c2..c5.
    """

    def __init__(
        self,
        stem_channels: int = 24,
        channels: Sequence[int] = (48, 96, 192, 384),
        depths: Sequence[int] = (2, 2, 4, 2),
    ) -> None:
        super().__init__()
        self.stem = Stem(stem_channels, channels[0])
        self.stages = nn.ModuleList()
        before = channels[0]
        for stage, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            blocks = [] if stage == 0 else [Block(before, width, stride=2)]
            # Every second block reweights its channels.
            blocks += [Block(width, width, squeeze=i % 2 == 0) for i in range(depth)]
            self.stages.append(nn.Sequential(*blocks))
            before = width
        self.out_channels = tuple(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to c2..c5, strides 4, 8, 16 and 32."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


class Stem(nn.Module):
    """Two parallel branches at stride 2 (pooling; two 2x2 convolutions), joined, then stride 4."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1)
        self.conv2a = nn.Conv2d(channels, channels // 2, 2)
        self.conv2b = nn.Conv2d(channels // 2, channels, 2)
        self.conv3 = nn.Conv2d(2 * channels, channels, 3, stride=2, padding=1)
        self.conv4 = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to (N, out_channels, H/4, W/4)."""
        x = F.relu(self.conv1(x))
        convolved = F.relu(self.conv2b(pad_end(F.relu(self.conv2a(pad_end(x))))))
        pooled = F.max_pool2d(pad_end(x), 2, stride=1)  # pads of 0 are neutral: x >= 0
        x = F.relu(self.conv3(torch.cat([pooled, convolved], dim=1)))
        return F.relu(self.conv4(x))


def pad_end(x: Tensor) -> Tensor:
    """Pad by 0, one column at the right and one row at the bottom, for windows of 2x2."""
    return F.pad(x, (0, 1, 0, 1))


class Block(nn.Module):
    """Mix neighbours by a depthwise convolution, then channels by two pointwise ones.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: 2 halves the resolution; such a block has no shortcut.
        squeeze: Reweight the channels in between (squeeze and excitation).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, squeeze: bool = False
    ) -> None:
        super().__init__()
        self.token_mixer = nn.Conv2d(
            in_channels, in_channels, 3, stride=stride, padding=1, groups=in_channels
        )
        self.squeeze = (
            SqueezeExcitation(in_channels, nn.Hardsigmoid()) if squeeze else nn.Identity()
        )
        self.channel_mixer = nn.Sequential(
            nn.Conv2d(in_channels, 2 * in_channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * in_channels, out_channels, 1),
        )
        self.shortcut = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H/stride, W/stride)."""
        x = self.squeeze(self.token_mixer(x))
        mixed = self.channel_mixer(x)
        return x + mixed if self.shortcut else mixed


class SqueezeExcitation(nn.Module):
    """Reweight channels by their means over the map (Hu et al. 2018), squeezed to a quarter.

    Names in the state dict are those of torchvision's class, whose import takes as long as torch's.

    Args:
        channels: Of input and output.
        gate: Maps the last layer's output to the weights.
    """

    def __init__(self, channels: int, gate: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 4, 1)
        self.fc2 = nn.Conv2d(channels // 4, channels, 1)
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to the same shape."""
        mean = x.mean((2, 3), keepdim=True)  # (N, channels, 1, 1)
        return x * self.gate(self.fc2(self.fc1(mean).relu()))
