"""Test-time augmentation: the maps of several views of an image, averaged before the postprocessor.

Views are made of what the network gets, after normalisation and padding, so that they work with any
test pipeline and with exported models.
"""

import itertools
from collections.abc import Callable, Collection

from torch import Tensor
from torch.nn.functional import interpolate

KINDS = ("flip", "scale")
SCALES = (0.75, 1.25)  # besides 1
STRIDE = 32  # of which sides are multiples

Network = Callable[[Tensor], Tensor]  # (N, 3, H, W) to (N, H, W)


def average_views(network: Network, kinds: Collection[str]) -> Network:
    """Let a network give the mean map of an image's views; without kinds it stays as it is.

    Args:
        network: Maps normalised images (N, 3, H, W), sides multiples of 32, to maps (N, H, W).
        kinds: "flip" adds the mirrored image, "scale" one 0.75 and one 1.25 times as large. Both
            together are six views.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"tta must be of {', '.join(KINDS)}, got {', '.join(sorted(unknown))}")
    if not kinds:
        return network
    scales = (1.0, *SCALES) if "scale" in kinds else (1.0,)
    flips = (False, True) if "flip" in kinds else (False,)
    views = list(itertools.product(scales, flips))

    def mean_map(inputs: Tensor) -> Tensor:
        others = (view_map(network, inputs, *view) for view in views[1:])
        return sum(others, start=view_map(network, inputs, *views[0])) / len(views)

    return mean_map


def view_map(network: Network, inputs: Tensor, scale: float, flip: bool) -> Tensor:
    """Map a view of images (N, 3, H, W), and bring the map (N, H, W) float back to the images."""
    height, width = inputs.shape[-2:]
    size = [max(round(side * scale / STRIDE), 1) * STRIDE for side in (height, width)]
    view = inputs if scale == 1 else interpolate(inputs, size, mode="bilinear", antialias=True)
    prob_map = network(view.flip(-1)).flip(-1) if flip else network(view)
    if scale == 1:
        return prob_map.float()
    return interpolate(prob_map[:, None].float(), (height, width), mode="bilinear")[:, 0]
