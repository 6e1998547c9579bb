"""The target maps of a batch on tensors of any device, by the formulas of `draw_targets`."""

import torch
from torch import Tensor

from dbnet.datasets.device.packing import PackedPlans


def draw_target_maps(
    plans: PackedPlans,
    arrays: dict[str, Tensor],
    shape: tuple[int, int],
    thresh_range: tuple[float, float],
) -> dict[str, Tensor]:
    """Draw the target maps from one distance field per text, evaluated in its window alone.

    All windows of a chunk are one row of P pixels. Maps are combined by maxima, which do not depend
    on the order.

    `arrays` is what `plans.unpack` gave, `shape` the (H, W) of the maps of `draw_targets`, of which
    each of the four is (N, H, W) float32 here.
    """
    height, width = shape
    device = arrays["sources"].device
    maps = torch.zeros((4, plans.num_samples * height * width), device=device)
    for chunk in plans.chunks:
        texts = slice(chunk.first, chunk.last)
        sample, left, top, columns, num_pixels = arrays["windows"][texts].unbind(1)  # (M,)
        text = torch.repeat_interleave(num_pixels, output_size=chunk.num_pixels)  # (P,)
        ends = num_pixels.cumsum(0)
        position = torch.arange(chunk.num_pixels, device=device) - (ends - num_pixels)[text]
        row = torch.div(position, columns[text], rounding_mode="floor")
        column = position - row * columns[text]
        first = sample * (height * width) + top * width + left
        blocks = [(arrays[block.name], block.num_pixels) for block in chunk.blocks]
        distance, inside = distance_fields(column.float(), row.float(), text, blocks)
        values = label_texts(distance, inside, text, ends, arrays["offsets"][texts])
        pixel = (first[text] + row * width + column).expand(4, -1)
        maps.scatter_reduce_(1, pixel, values, "amax")
    shrink_map, ignored, nearness, thresh_mask = maps.view(4, -1, height, width).unbind(0)
    thresh_min, thresh_max = thresh_range
    return dict(
        shrink_map=shrink_map,
        shrink_mask=1 - ignored,
        thresh_map=nearness * (thresh_max - thresh_min) + thresh_min,
        thresh_mask=thresh_mask,
    )


def distance_fields(
    x: Tensor, y: Tensor, text: Tensor, blocks: list[tuple[Tensor, int]]
) -> tuple[Tensor, Tensor]:
    """Distance to the outline and even-odd inside of every pixel of some windows.

    Args:
        x: (P,) float32, relative to the window's corner, as is `y`.
        y: (P,) float32.
        text: (P,) int64, the text that a pixel belongs to.
        blocks: Edges (7, edges, texts) and the number of pixels that they concern, the first ones.

    Returns:
        distance: (P,) float32, pixels.
        inside: (P,) bool.
    """
    squared = torch.full_like(x, torch.inf)
    crossings = torch.zeros_like(text, dtype=torch.int32)
    for edges, count in blocks:
        ax, ay, ux, uy, length, by, slope = edges[:, :, text[:count]].unbind(0)  # (edges, count)
        dx, dy = x[:count] - ax, y[:count] - ay
        along = (dx * ux).addcmul_(dy, uy)  # coordinate on the edge's line
        across = (dx * uy).addcmul_(dy, ux, value=-1)  # signed distance from that line
        beyond = along - torch.minimum(along.clamp(min=0), length)  # past either end
        nearest = across.square_().addcmul_(beyond, beyond).amin(0)
        squared[:count] = torch.minimum(squared[:count], nearest)
        crossed = ((dy < 0) != (y[:count] < by)) & (x[:count] < torch.addcmul(ax, dy, slope))
        crossings[:count] += crossed.sum(0, dtype=torch.int32)
    return squared.sqrt_(), crossings % 2 == 1


def label_texts(
    distance: Tensor, inside: Tensor, text: Tensor, ends: Tensor, offsets: Tensor
) -> Tensor:
    """Label the pixels of some windows.

    Args:
        distance: (P,) float32, to the outline of the pixel's text.
        inside: (P,) bool.
        text: (P,) int64, that text.
        ends: (M,) int64, one past the last pixel of each text.
        offsets: (M, 2) float32, D and whether it is ignored.

    Returns:
        (4, P) float32: in the shrunk text, ignored, nearness to the outline, in the dilated text. A
        text whose shrunk region holds no pixel is ignored.
    """
    offset = offsets[:, 0][text]
    shrunk = inside & (distance >= offset - 0.5)
    # Sums up to each text's end rather than a maximum per text, for which all of its pixels would
    # wait for each other.
    sums = shrunk.cumsum(0, dtype=torch.int32)[ends - 1]
    has_shrunk = sums.diff(prepend=torch.zeros_like(sums[:1])) > 0
    kept = (has_shrunk & (offsets[:, 1] == 0))[text]
    nearness = torch.where(kept, 1 - distance / offset, 0).clamp_(min=0)
    dilated = kept & (inside | (distance <= offset))
    ignored = ~kept & (inside | (distance <= 0.5))
    return torch.stack([shrunk & kept, ignored, nearness, dilated])
