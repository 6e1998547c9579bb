import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from dbnet.visualization.legend import BACKGROUND

MARGIN = 8  # pixels between the tiles of a sheet


def contact_sheet(tiles: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Set images (H, W, 3) out in rows, each at the top left of a cell that holds the largest.

    Args:
        tiles: At least one.
        columns: How many in a row; as many as there are rows if not given.
    """
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    height = max(tile.shape[0] for tile in tiles) + MARGIN
    width = max(tile.shape[1] for tile in tiles) + MARGIN
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * height + MARGIN, min(columns, len(tiles)) * width + MARGIN, 3)
    sheet = np.full(shape, BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = row * height + MARGIN, column * width + MARGIN
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


class RankedTile(NamedTuple):
    """A picture of one image for the sheet of the worst; the last in order is the worst.

    Attributes:
        num_errors: Missed texts and false alarms.
        img_path: Of two images with as many errors the last path counts as worse.
        png: The picture, encoded, since processes send it to each other.
    """

    num_errors: int
    img_path: str
    png: bytes


class WorstImages:
    """Keep pictures of the images with the most errors, and no others.

    Args:
        capacity: How many to keep.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.kept: list[RankedTile] = []

    def offer(self, num_errors: int, img_path: str, draw: Callable[[], np.ndarray]) -> None:
        """Keep an image, drawn by `draw`, if it is among the worst so far."""
        rank = RankedTile(num_errors, img_path, b"")
        if len(self.kept) < self.capacity or rank > self.kept[0]:
            tile = rank._replace(png=cv2.imencode(".png", draw())[1].tobytes())
            heapq.heappush(self.kept, tile)
            if len(self.kept) > self.capacity:
                heapq.heappop(self.kept)


def worst_sheet(kept: Iterable[RankedTile], capacity: int) -> np.ndarray | None:
    """Set the worst of some images out, the worst first; None if there are none.

    Args:
        kept: From several processes, which may have seen the same image: it comes once.
        capacity: How many to show at most.
    """
    by_path = {tile.img_path: tile for tile in kept}
    worst = sorted(by_path.values(), reverse=True)[:capacity]
    encoded = [np.frombuffer(tile.png, np.uint8) for tile in worst]
    pictures = [np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)) for data in encoded]
    return contact_sheet(pictures) if pictures else None
