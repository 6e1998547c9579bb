from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dbnet.registry import MODELS


@MODELS.register_module()
class FPNC(nn.Module):
    """Feature pyramid whose levels are concatenated at stride 4, the neck of DBNet and DBNet++.

    Convolutions of the pyramid have neither bias nor norm nor activation, as in MhLiao/DB. The
    levels are concatenated p2, p3, p4, p5 as in MMOCR; MhLiao/DB has them the other way round.

    Args:
        in_channels: Channels of c2..c5.
        lateral_channels: Channels inside the pyramid.
        out_channels: Channels of each level in the concatenation.
        attention: Config of a module that maps the concatenation to a weight per level and pixel,
            such as `ScaleChannelSpatialAttention`, which makes DBNet++ (MMOCR's `asf_cfg`). None
            concatenates the levels as they are.

    Attributes:
        out_channels: Channels of the output, four times the argument of that name.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        lateral_channels: int = 256,
        out_channels: int = 64,
        attention: dict | None = None,
    ) -> None:
        from mmcv.cnn import ConvModule  # takes as long as half of torch

        super().__init__()
        plain = dict(bias=False, act_cfg=None)
        self.lateral_convs = nn.ModuleList(
            ConvModule(channels, lateral_channels, 1, **plain) for channels in in_channels
        )
        self.smooth_convs = nn.ModuleList(
            ConvModule(lateral_channels, out_channels, 3, padding=1, **plain) for _ in in_channels
        )
        self.out_channels = out_channels * len(in_channels)
        self.asf_attn: nn.Module | None = None
        if attention is not None:
            width = dict(in_channels=self.out_channels, out_channels=len(in_channels))
            self.asf_conv = ConvModule(
                self.out_channels, self.out_channels, 3, padding=1, bias=True, act_cfg=None
            )
            self.asf_attn = MODELS.build(attention, default_args=width)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Fuse c2..c5, strides 4 to 32, into (N, out_channels, H/4, W/4)."""
        # c2..c5 to p2..p5, each (N, lateral_channels, H/4..H/32, W/4..W/32)
        levels = top_down([conv(x) for conv, x in zip(self.lateral_convs, features)])
        smooth = [conv(level) for conv, level in zip(self.smooth_convs, levels)]
        smooth = [upsample(level, smooth[0]) for level in smooth]  # each (N, 64, H/4, W/4)
        fused = torch.cat(smooth, dim=1)  # (N, 256, H/4, W/4)
        if self.asf_attn is None:
            return fused
        weights = self.asf_attn(self.asf_conv(fused))  # (N, 4, H/4, W/4)
        return torch.cat([level * weights[:, i : i + 1] for i, level in enumerate(smooth)], dim=1)


def top_down(levels: list[Tensor]) -> list[Tensor]:
    """Add each level of a pyramid, the finest first, to the next finer one, enlarged."""
    for fine in range(len(levels) - 2, -1, -1):
        levels[fine] = levels[fine] + upsample(levels[fine + 1], levels[fine])
    return levels


def upsample(coarse: Tensor, fine: Tensor) -> Tensor:
    """Repeat the pixels of `coarse` (N, C, h, w) to the height and width of `fine`."""
    if coarse.shape[2:] == fine.shape[2:]:
        return coarse
    return F.interpolate(coarse, size=fine.shape[2:], mode="nearest")
