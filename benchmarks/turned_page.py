"""Count the words that a detector finds on a printed page, upright and turned by right angles.

python benchmarks/turned_page.py small other.pth --config dbnet_ppocrv6-small_3k_icdar2015

The page is A4 at 150 dpi with text of 10 points, the strip as wide and 9,000 pixels long; a word is
found if one prediction has an IoU of more than .5 with it.
"""

import argparse
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import dbnet
from dbnet.evaluation.matching import match_image
from dbnet.weights import SHIPPED

PAGE, STRIP = (1240, 1754), (1240, 9000)  # W, H in pixels
EM = 20  # pixels: 10 points at 150 dpi
TEXT = (
    "the quick detection of words in pages requires some care when lines are close and small "
    "letters blur into each other but not always here"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", help="as for dbnet infer")
    parser.add_argument("--config", help="of checkpoints that need one")
    parser.add_argument("--strip", action="store_true", help="the long strip too")
    args = parser.parse_args()
    page, words = draw(PAGE)
    for checkpoint in args.checkpoints:
        detect = dbnet.TextDetInferencer(None if checkpoint in SHIPPED else args.config, checkpoint)
        found = [count(detect, *turn(page, words, quarters)) for quarters in range(4)]
        print(f"{checkpoint}: {len(words)} words, found at 0, 90, 180, 270 degrees: {found}")
        if args.strip:
            strip, longer = draw(STRIP)
            print(f"    of {len(longer)} on the strip: {count(detect, strip, longer)}")


def draw(size: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a page of words, (H, W, 3) uint8 BGR, and the rectangles (4, 2) around them."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    font = ImageFont.truetype(str(folder / "DejaVuSerif.ttf"), EM)
    image = Image.new("RGB", size, "white")
    pen, rng, rectangles = ImageDraw.Draw(image), np.random.default_rng(0), []
    words = TEXT.split()
    for y in range(100, size[1] - 100, 30):
        x = 100
        while True:
            word = words[rng.integers(len(words))]
            left, top, right, bottom = pen.textbbox((x, y), word, font=font)
            if right > size[0] - 100:
                break
            pen.text((x, y), word, "black", font=font)
            sides = left - 2, top - 2, right + 2, bottom + 2
            rectangles.append(
                np.float32([sides[i] for i in (0, 1, 2, 1, 2, 3, 0, 3)]).reshape(4, 2)
            )
            x = int(right) + 12
    return np.asarray(image)[..., ::-1].copy(), rectangles


def turn(
    image: np.ndarray, polygons: list[np.ndarray], quarters: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Turn an image and its polygons counterclockwise."""
    for _ in range(quarters):
        last = image.shape[1] - 1
        image = cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE)
        polygons = [np.stack([p[:, 1], last - p[:, 0]], axis=1) for p in polygons]
    return image, polygons


def count(detect: dbnet.TextDetInferencer, image: np.ndarray, words: list[np.ndarray]) -> int:
    """Count the words that are found."""
    [result] = detect([image])
    iou, _ = match_image(words, [False] * len(words), result["polygons"])
    return int((iou.max(axis=1) > 0.5).sum()) if iou.size else 0


if __name__ == "__main__":
    main()
