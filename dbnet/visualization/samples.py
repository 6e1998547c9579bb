from collections.abc import Mapping

import cv2
import numpy as np

from dbnet.geometry import scale_matrix, transform
from dbnet.visualization.draw import GREEN, GREY, Layer, LineStyle, draw_layers
from dbnet.visualization.sheet import add_legend, caption, contact_sheet, draw_tile

TEXT = LineStyle(GREEN)
IGNORED = LineStyle(GREY, dash=3)

HEAT_WEIGHT = 0.65  # of the colours over the grey image
TILE_SIZE = (320, 320)  # (W, H) at most of a sample in a contact sheet, pixels


def draw_sample(sample: Mapping, title: str) -> np.ndarray:
    """Draw a sample of a pipeline: its image with polygons, and its target maps if it has some.

    It is what comes before `PackTextDetInputs`: `img` (H, W, 3) uint8 BGR, `polygons`, `ignored`
    and, in training, `targets` of (H, W) maps. The title stands below.
    """
    num_ignored = sum(map(bool, sample["ignored"]))
    entries = [
        (TEXT, f"text {len(sample['ignored']) - num_ignored}"),
        (IGNORED, f"ignored {num_ignored}"),
    ]
    height, width = sample["img"].shape[:2]
    panels = [caption(draw_texts(sample), f"img {width}x{height}")]
    for name, target in sample.get("targets", {}).items():
        panels.append(caption(*draw_map(sample["img"], name, np.asarray(target, np.float32))))
    sheet = contact_sheet(panels, columns=3)
    return add_legend(sheet, title, entries)


def draw_small_sample(sample: Mapping, title: str) -> np.ndarray:
    """Draw a small copy of a sample's image with its polygons, below a title."""
    return draw_tile(sample["img"], layers_of(sample), TILE_SIZE, title)


def draw_texts(sample: Mapping) -> np.ndarray:
    """Return a copy of a sample's image with its polygons, ignored ones in grey."""
    return draw_layers(sample["img"], layers_of(sample))


def layers_of(sample: Mapping) -> list[Layer]:
    """Sort a sample's polygons by how they are drawn."""
    pairs = list(zip(polygons_of(sample), sample["ignored"]))
    texts, ignored = ([p for p, skip in pairs if bool(skip) == wanted] for wanted in (False, True))
    return [(IGNORED, ignored), (TEXT, texts)]


def polygons_of(sample: Mapping) -> list[np.ndarray]:
    """Return the polygons (N, 2) of a sample in pixels of its image.

    With targets they are there already. Test pipelines resize the image alone, by `scale_factor`
    (w, h), and leave the polygons in pixels of the original, for the metric.
    """
    if "targets" in sample or "scale_factor" not in sample:
        return list(sample["polygons"])
    matrix = scale_matrix(*sample["scale_factor"])
    return [transform(polygon, matrix) for polygon in sample["polygons"]]


def draw_map(image: np.ndarray, name: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Lay a map (H, W) over a BGR image in grey; return it, and a line about the range of values.

    Colours run from dark blue to yellow in steady brightness (viridis), which survives colour
    blindness and grey printing.
    """
    low, high = float(values.min()), float(values.max())
    if high > low:
        level, legend = (values - low) / (high - low), f"dark {low:.2g}, bright {high:.2g}"
    else:
        level, legend = np.clip(values, 0, 1), f"{low:.2g} everywhere"
    heat = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    blended = cv2.addWeighted(heat, HEAT_WEIGHT, grey, 1 - HEAT_WEIGHT, 0)
    return blended, f"{name}: {legend}"
