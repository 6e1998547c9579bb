from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from dbnet.geometry import transform
from dbnet.visualization.draw import (
    GREEN,
    GREY,
    LineStyle,
    draw_polygons,
    resize_to_fit,
)
from dbnet.visualization.legend import add_legend, caption
from dbnet.visualization.sheet import contact_sheet

TEXT = LineStyle(GREEN)
IGNORED = LineStyle(GREY, dash=3)

HEAT_WEIGHT = 0.65  # of the colours over the grey image
TILE_SIZE = (320, 320)  # (W, H) at most of a sample in a contact sheet, pixels


def draw_sample(sample: Mapping, title: str) -> np.ndarray:
    """Draw a sample of a pipeline: its image with polygons, and its target maps if it has some.

    Args:
        sample: What comes before `PackTextDetInputs`: `img` (H, W, 3) uint8 BGR, `polygons`,
            `ignored` and, in training, `targets` of (H, W) maps.
        title: Stands below the image.
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


def draw_tile(sample: Mapping, title: str) -> np.ndarray:
    """Draw a small copy of a sample's image with its polygons, below a title."""
    image, matrix = resize_to_fit(sample["img"], TILE_SIZE)
    polygons = [transform(polygon, matrix) for polygon in polygons_of(sample)]
    return caption(draw_outlines(image, polygons, sample["ignored"]), title)


def draw_texts(sample: Mapping) -> np.ndarray:
    """Return a copy of a sample's image with its polygons."""
    return draw_outlines(sample["img"], polygons_of(sample), sample["ignored"])


def draw_outlines(
    image: np.ndarray, polygons: Sequence[np.ndarray], ignored: Sequence[bool]
) -> np.ndarray:
    """Return a copy of a BGR image with texts, (N, 2) in its pixels, ignored ones in grey."""
    image = draw_polygons(image, [p for p, skip in zip(polygons, ignored) if skip], IGNORED)
    return draw_polygons(image, [p for p, skip in zip(polygons, ignored) if not skip], TEXT)


def polygons_of(sample: Mapping) -> list[np.ndarray]:
    """Polygons (N, 2) of a sample in pixels of its image.

    With targets they are there already. Test pipelines resize the image alone, by `scale_factor`
    (w, h), and leave the polygons in pixels of the original, for the metric.
    """
    if "targets" in sample or "scale_factor" not in sample:
        return list(sample["polygons"])
    scales = np.array(sample["scale_factor"], np.float64)
    # Pixel centres: x' + 0.5 = (x + 0.5) * scale
    matrix = np.column_stack([np.diag(scales), (scales - 1) / 2])
    return [transform(polygon, matrix) for polygon in sample["polygons"]]


def draw_map(image: np.ndarray, name: str, values: np.ndarray) -> tuple[np.ndarray, str]:
    """Lay a map over an image turned grey; give it with a line on the range of the values.

    Colours run from dark blue to yellow in steady brightness (viridis), which survives colour
    blindness and grey printing.

    Args:
        image: (H, W, 3) uint8 BGR.
        name: Of the map.
        values: (H, W) float32.
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
