from torch import Tensor, nn

from dbnet.registry import MODELS


@MODELS.register_module()
class ScaleChannelSpatialAttention(nn.Module):
    """Reweight the levels of a pyramid at every pixel: the attention of DBNet++.

    Paper: https://arxiv.org/abs/2202.10304, "Adaptive Scale Fusion". Names in the state dict and
    the width are MMOCR's; MhLiao/DB squeezes the features to 64 channels first.

    Args:
        in_channels: Channels of the concatenated levels.
        out_channels: Number of levels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        from mmcv.cnn import ConvModule  # takes as long as half of torch

        super().__init__()
        squeezed = in_channels // 4
        relu = dict(bias=False, act_cfg=dict(type="ReLU"))
        sigmoid = dict(bias=False, act_cfg=dict(type="Sigmoid"))
        self.channel_wise = nn.Sequential(
            ConvModule(in_channels, squeezed, 1, **relu),
            ConvModule(squeezed, in_channels, 1, **sigmoid),
        )
        self.spatial_wise = nn.Sequential(
            ConvModule(1, 1, 3, padding=1, **relu), ConvModule(1, 1, 1, **sigmoid)
        )
        self.attention_wise = ConvModule(in_channels, out_channels, 1, **sigmoid)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_channels, H, W) to weights (N, out_channels, H, W) in 0..1."""
        x = x + self.channel_wise(x.mean((2, 3), keepdim=True))
        x = x + self.spatial_wise(x.mean(1, keepdim=True))
        return self.attention_wise(x)
