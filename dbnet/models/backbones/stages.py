"""Pieces that several backbones share."""

from collections.abc import Iterable

from torch import Tensor, nn


def run_stages(stages: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, ...]:
    """Chain stages and return the output of each, such as c2..c5."""
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return tuple(features)


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
