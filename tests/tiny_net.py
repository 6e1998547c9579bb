"""A backbone of 7 thousand parameters; configs of the tests import a copy that lies beside them."""

from torch import Tensor, nn

from dbnet.registry import MODELS

CHANNELS = (8, 16, 16, 16)


@MODELS.register_module(force=True)
class TinyNet(nn.Module):
    """A convolution per stage; nothing depends on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = CHANNELS
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1)
            for before, after in zip((8, *CHANNELS[:-1]), CHANNELS)
        )
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images (N, 3, H, W) to c2..c5, strides 4, 8, 16 and 32."""
        x, features = self.stem(x).relu(), []
        for stage in self.stages:
            x = stage(x).relu()
            features.append(x)
        return tuple(features)
