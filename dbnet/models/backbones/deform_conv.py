import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d


class ModulatedDeformConv2d(nn.Conv2d):
    """Deformable convolution v2 (Zhu et al. 2019) on torchvision's operator.

    Parameters have mmcv's names and layout (`weight`, `conv_offset.weight`, `conv_offset.bias`), so
    MMOCR's checkpoints fit. `conv_offset` yields, for each of the K = kh * kw points, 2K offsets
    (y and x in turn, in pixels) and K modulation logits. It starts at zero: the layer then is half
    of the plain convolution (sigmoid(0) = 0.5), as in mmcv.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.conv_offset = nn.Conv2d(in_channels, 3 * 9, 3, stride, padding=1)
        nn.init.zeros_(self.conv_offset.weight)
        if self.conv_offset.bias is not None:
            nn.init.zeros_(self.conv_offset.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        first, second, logits = self.conv_offset(x).chunk(3, dim=1)  # (N, 9, H', W') each
        offset = torch.cat((first, second), dim=1)
        # The operator has no half-precision kernel on CPUs; on GPUs torchvision casts likewise.
        with torch.autocast(x.device.type, enabled=False):
            return deform_conv2d(
                x.float(),
                offset.float(),
                self.weight,
                stride=self.stride,
                padding=self.padding,
                mask=logits.float().sigmoid(),
            )
