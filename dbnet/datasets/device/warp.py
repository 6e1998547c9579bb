"""Augmentation of pixels, a whole batch at once, on tensors of any device."""

import torch
from torch import Tensor

# Beyond any image, and exact in float32.
FAR_OUTSIDE = -(2.0**20)


def warp_batch(store: Tensor, sources: Tensor, warps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample images bilinearly, with black around them, as `cv2.warpAffine` does.

    Args:
        store: (P, 3) uint8, pixels of all images in their frames; see `Source`.
        sources: (N, 3) int64: first pixel in the store, H and W of each image.
        warps: (N, 8) float32: matrix from pixels of the result to pixels of the image, row by row,
            and the (W, H) of the result beyond which it stays 0.
        size: (W, H) of the results.

    Returns:
        (N, H, W, 3) float32 in 0..255.
    """
    x, y = _source_points(warps, size)
    first, height, width = sources[:, :, None, None].unbind(1)  # (N, 1, 1)
    left, to_right = _split(x, width)
    top, to_bottom = _split(y, height)
    stride = width + 1
    # The frame is one pixel wide: it is the neighbour of every pixel that has none.
    pixel = first + ((top + 1) * stride.int() + (left + 1))
    both = to_right * to_bottom
    right, bottom = to_right - both, to_bottom - both
    images = store[pixel] * (1 - to_right - bottom)[..., None]
    images.addcmul_(store[pixel + 1], right[..., None])
    images.addcmul_(store[pixel + stride], bottom[..., None])
    return images.addcmul_(store[pixel + (stride + 1)], both[..., None])


def _source_points(warps: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Map all pixels of the results, x and y (N, H, W); those that stay 0 go far outside."""
    xx, xy, x0, yx, yy, y0, filled_width, filled_height = warps[:, :, None, None].unbind(1)
    columns = torch.arange(size[0], device=warps.device, dtype=torch.float32)  # (W,)
    rows = torch.arange(size[1], device=warps.device, dtype=torch.float32)[:, None]  # (H, 1)
    x_of_columns = torch.where(columns < filled_width, xx * columns, FAR_OUTSIDE)
    x_of_rows = torch.where(rows < filled_height, xy * rows + x0, FAR_OUTSIDE)
    return x_of_columns + x_of_rows, yx * columns + (yy * rows + y0)


def _split(coordinate: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Split coordinates (N, H, W) into the pixel before, from -1 to `side`, and the rest."""
    coordinate = coordinate.clamp_(min=-1).minimum(side)
    before = coordinate.floor()
    return before.int(), coordinate.sub_(before)


def jitter_batch(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, saturation and brightness again, each clipped to 0..255.

    Deviation from `ColorJitter`: rounded once, at the end.

    Args:
        images: (N, H, W, 3) float32 BGR in 0..255; overwritten.
        factors: (N, 3) float32.

    Returns:
        (N, H, W, 3) uint8.
    """
    before, saturation, after = factors[:, :, None, None, None].unbind(1)  # (N, 1, 1, 1)
    images.mul_(before).clamp_(max=255)
    blue, green, red = images.split(1, dim=-1)
    grey = (0.114 * blue).add_(green, alpha=0.587).add_(red, alpha=0.299)
    grey = grey.mul_((1 - saturation) * after).add_(0.5)  # 0.5 rounds
    images = torch.addcmul(grey, images, saturation * after)
    most = (255 * after).clamp(max=255)  # clipped before the last factor and after it
    return torch.clamp(images, torch.zeros_like(most), most + 0.5).to(torch.uint8)
