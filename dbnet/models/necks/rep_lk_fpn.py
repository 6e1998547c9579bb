from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dbnet.models.backbones.pp_lcnet_v4 import SqueezeExcitation
from dbnet.models.necks.fpnc import top_down, upsample
from dbnet.registry import MODELS


@MODELS.register_module()
class RepLKFPN(nn.Module):
    """Feature pyramid of PP-OCRv6's detectors, as it is after training.

    A pyramid like `FPNC` whose convolutions reweight their channels, and whose levels are smoothed
    by one large depthwise kernel each (dilated branches, folded). Levels are concatenated p5, p4,
    p3, p2.

    Paper: https://arxiv.org/abs/2606.13108.

    Args:
        in_channels: Channels of c2..c5.
        out_channels: Channels inside the pyramid, and of the output.
        kernel_size: Side of the large kernels.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int = 96, kernel_size: int = 7
    ) -> None:
        super().__init__()
        per_level = out_channels // len(in_channels)
        self.lateral_convs = nn.ModuleList(
            ReweightedConv(channels, out_channels) for channels in in_channels
        )
        self.large_kernels = nn.ModuleList(
            nn.Conv2d(
                out_channels,
                out_channels,
                kernel_size,
                padding=kernel_size // 2,
                groups=out_channels,
            )
            for _ in in_channels
        )
        self.smooth_convs = nn.ModuleList(
            ReweightedConv(out_channels, per_level) for _ in in_channels
        )
        self.out_channels = per_level * len(in_channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse c2..c5, strides 4 to 32, into (N, out_channels, H/4, W/4)."""
        levels = top_down([conv(x) for conv, x in zip(self.lateral_convs, features)])
        smooth = [
            conv(kernel(level))
            for kernel, conv, level in zip(self.large_kernels, self.smooth_convs, levels)
        ]
        return torch.cat([upsample(level, smooth[0]) for level in reversed(smooth)], dim=1)


class ReweightedConv(nn.Module):
    """A pointwise convolution whose output is added to itself with its channels reweighted."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.squeeze = SqueezeExcitation(out_channels, SteepHardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        x = self.conv(x)
        return x + self.squeeze(x)


class SteepHardsigmoid(nn.Module):
    """Paddle's hard sigmoid, x / 5 + 1/2 between 0 and 1; PyTorch's has x / 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to each element."""
        return (0.2 * x + 0.5).clamp(0, 1)
