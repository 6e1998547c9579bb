"""Plans of a batch in one buffer, which goes to the device in one copy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dbnet.datasets.device.plans import SamplePlan
from dbnet.datasets.transforms.targets import Instance

# Bounds of what the target maps take on the device while they are drawn: about 200 bytes for each
# of these pixels. A single window, at most a whole map, may be larger.
PIXELS_AT_ONCE = 2**20
EDGES_AT_ONCE = 4


class EdgeBlock(NamedTuple):
    """Edges k, k + 1, ... of the texts that have them, the first so many of a chunk."""

    name: str  # of the array (7, edges, instances); see `edge_table`
    num_pixels: int  # pixels of these texts' windows


class Chunk(NamedTuple):
    """Texts whose windows are drawn at once."""

    first: int  # index of the first of them
    last: int  # one past the last
    num_pixels: int  # pixels of all their windows
    blocks: list[EdgeBlock]  # their edges


class Field(NamedTuple):
    """An array in the buffer: its first and one past its last byte."""

    first: int
    last: int
    dtype: torch.dtype
    shape: tuple[int, ...]


class PackedPlans(NamedTuple):
    """Arrays of a batch of N samples with M texts in one buffer, and the sizes that the host needs.

    The arrays:
        sources: (N, 3) int64: first pixel in the store, H, W.
        windows: (M, 5) int64: sample, left, top, width, pixels.
        warps: (N, 8) float32: `to_source` row by row, filled W and H.
        jitters: (N, 3) float32: brightness, saturation, brightness after that.
        offsets: (M, 2) float32: D, and 1 if ignored.
        edges_...: see `EdgeBlock`.
    """

    buffer: Tensor  # uint8
    fields: dict[str, Field]  # where each array lies
    chunks: list[Chunk]  # how the texts are drawn
    num_samples: int  # N
    num_learnt: int  # texts that are not ignored

    def unpack(self, device: torch.device) -> dict[str, Tensor]:
        """Copy the buffer to a device, asynchronously if it is pinned, and view its arrays."""
        buffer = self.buffer.to(device, non_blocking=True)
        return {
            name: buffer[field.first : field.last].view(field.dtype).view(field.shape)
            for name, field in self.fields.items()
        }


def collate_plans(plans: Sequence[SamplePlan]) -> dict:
    """Put the plans of a batch into one buffer.

    Returns:
        plans: `PackedPlans`.
        metas: One dict per image.
    """
    texts = [(i, instance) for i, plan in enumerate(plans) for instance in plan.instances]
    texts.sort(key=lambda text: -len(text[1].polygon))  # those with many edges first
    windows = np.array([_window(*text) for text in texts], dtype=np.int64).reshape(-1, 5)
    offsets = [(instance.offset, instance.ignored) for _, instance in texts]
    chunks, edges = _divide([instance for _, instance in texts], windows[:, 4])
    arrays: dict[str, np.ndarray] = dict(
        sources=np.array([(p.source.first, *p.source.shape) for p in plans], dtype=np.int64),
        windows=windows,
        warps=np.array([[*p.to_source.flat, *p.filled] for p in plans], dtype=np.float32),
        jitters=np.array([_jitter(plan) for plan in plans], dtype=np.float32),
        offsets=np.array(offsets, dtype=np.float32).reshape(-1, 2),
        **edges,
    )
    buffer, fields = _pack(arrays)
    num_learnt = sum(not instance.ignored for _, instance in texts)
    packed = PackedPlans(buffer, fields, chunks, len(plans), num_learnt)
    return dict(plans=packed, metas=[plan.metas for plan in plans])


def edge_table(polygons: Sequence[np.ndarray], origins: np.ndarray) -> np.ndarray:
    """Describe every edge of some polygons, one polygon after the other.

    Args:
        polygons: (K, 2) arrays, pixels.
        origins: (M, 2), what coordinates are relative to, for each polygon, so that float32 keeps
            its digits for far-away vertices.

    Returns:
        (E, 7) float32: the start (x, y), the unit vector towards the end (x, y), the length, the
        end's y, and the change of x per change of y. An edge of length 0 counts as a point.
    """
    counts = [len(polygon) for polygon in polygons]
    starts = np.concatenate(list(polygons)).astype(np.float64) - np.repeat(origins, counts, axis=0)
    following = np.arange(1, len(starts) + 1)
    lasts = np.cumsum(counts)
    following[lasts - 1] = lasts - counts
    ends = starts[following]
    change = ends - starts
    length = np.hypot(change[:, 0], change[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(length[:, None] > 0, change / length[:, None], (1.0, 0.0))
        slope = np.where(change[:, 1] != 0, change[:, 0] / change[:, 1], 0.0)
    columns = [starts, unit, length[:, None], ends[:, 1:], slope[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _window(sample: int, instance: Instance) -> tuple[int, ...]:
    rows, columns = instance.rows, instance.columns
    width = columns.stop - columns.start
    return sample, columns.start, rows.start, width, width * (rows.stop - rows.start)


def _jitter(plan: SamplePlan) -> tuple[float, float, float]:
    """Return the factors as if brightness were always changed twice, once by 1."""
    brightness, saturation, first = plan.jitter
    return (brightness, saturation, 1.0) if first else (1.0, saturation, brightness)


def _divide(
    instances: Sequence[Instance], num_pixels: np.ndarray
) -> tuple[list[Chunk], dict[str, np.ndarray]]:
    """Divide texts, those with many edges first, into chunks of bounded size."""
    chunks: list[Chunk] = []
    arrays: dict[str, np.ndarray] = {}
    first = 0
    while first < len(instances):
        sums = np.cumsum(num_pixels[first:])
        count = max(int(np.searchsorted(sums, PIXELS_AT_ONCE, side="right")), 1)
        blocks = _edge_blocks(instances[first : first + count])
        names = [f"edges_{first}_{i}" for i in range(len(blocks))]
        arrays.update(zip(names, blocks))
        sizes = [int(sums[block.shape[2] - 1]) for block in blocks]
        edge_blocks = [EdgeBlock(*each) for each in zip(names, sizes)]
        chunks.append(Chunk(first, first + count, int(sums[count - 1]), edge_blocks))
        first += count
    return chunks, arrays


def _edge_blocks(instances: Sequence[Instance]) -> list[np.ndarray]:
    """Arrange the edges of texts, those with many first, in arrays (7, edges, instances)."""
    origins = np.array([(each.columns.start, each.rows.start) for each in instances], np.float64)
    table = edge_table([each.polygon for each in instances], origins)
    counts = np.array([len(each.polygon) for each in instances])
    firsts = np.cumsum(counts) - counts
    blocks = []
    for start in range(0, counts[0], EDGES_AT_ONCE):
        num_texts = int((counts > start).sum())
        numbers = np.arange(start, min(start + EDGES_AT_ONCE, counts[0]))[:, None]
        missing = numbers >= counts[:num_texts]
        block = table[firsts[:num_texts] + np.where(missing, 0, numbers)]
        # Once more the first edge, which changes no distance, and without height crosses no row.
        block[..., 5] = np.where(missing, block[..., 1], block[..., 5])
        blocks.append(block.transpose(2, 0, 1))
    return blocks


def _pack(arrays: dict[str, np.ndarray]) -> tuple[Tensor, dict[str, Field]]:
    """Put arrays, those of 8 bytes per value first, one behind the other."""
    fields: dict[str, Field] = {}
    first = 0
    for name, array in arrays.items():
        dtype = torch.int64 if array.dtype == np.int64 else torch.float32
        fields[name] = Field(first, first + array.nbytes, dtype, array.shape)
        first += array.nbytes
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    return torch.frombuffer(bytearray(data), dtype=torch.uint8), fields
