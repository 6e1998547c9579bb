"""The size that an image is given for the network."""


def fitted_size(
    size: tuple[int, int],
    scale: tuple[int, int],
    keep_ratio: bool = True,
    max_scale: float | None = None,
) -> tuple[int, int]:
    """Find the (W, H) that an image is resized to; as in mmcv, but each side keeps a pixel.

    >>> fitted_size((1280, 720), (1333, 736))
    (1308, 736)
    >>> fitted_size((100, 50), (1333, 736), max_scale=2.0)
    (200, 100)

    Args:
        size: (W, H) of the image.
        scale: Long and short side to fit into, in either order; without the ratio, the result.
        keep_ratio: Whether the ratio is kept.
        max_scale: Greatest factor by which an image is enlarged; None for any.
    """
    if not keep_ratio:
        return max(scale[0], 1), max(scale[1], 1)
    sides, bounds = sorted(size), sorted(scale)
    if max_scale is not None:
        bounds = [min(b, max(round(side * max_scale), 1)) for b, side in zip(bounds, sides)]
    factor = min(bounds[1] / sides[1], bounds[0] / sides[0])
    width, height = (max(int(side * factor + 0.5), 1) for side in size)
    return width, height
