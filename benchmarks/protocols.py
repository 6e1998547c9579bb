"""Compare every protocol's counts, image by image, and its speed with the public scripts.

    python benchmarks/protocols.py --scripts DIR --gt textdet_test.json --pred a.json b.json

DIR holds a NAME.py per protocol, of your own making around a public script: its
`count(texts, ignored, num_chars, predictions)` returns (found, texts, right, predictions) of one
image, as `dbnet.evaluation.protocols.scene.Row` has them. Without --gt, random images alone:
boxes, quads and polygons of whole coordinates, with splits, merges, duplicates, ties, ignored texts
and outlines that enclose nothing or cross themselves. The scripts read whole numbers, so that the
predictions of files are rounded first.
"""

import argparse
import contextlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dbnet.evaluation.files import read_both, round_predictions
from dbnet.evaluation.protocols.counting import PROTOCOLS
from dbnet.evaluation.protocols.scene import Scene
from dbnet.geometry import rectangle

OF_QUADS = ("icdar2015", "mlt", "cleval", "tiou")  # their scripts take nothing else
Image = tuple[list[np.ndarray], list[bool], list[int], list[np.ndarray]]


def load(folder: Path, name: str) -> Callable | None:
    path = folder / f"{name}.py"
    if not path.exists():
        return None
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"script_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.count


def images_of(gt: Path, pred: Path) -> list[Image]:
    truths, predictions = read_both(gt, pred)
    rounded = round_predictions(predictions)
    return [
        (truth.polygons, truth.ignored, list(truth.num_chars), rounded[stem].polygons)
        for stem, truth in truths.items()
        if stem in rounded
    ]


def random_images(number: int, corners: int, seed: int) -> list[Image]:
    rng = np.random.default_rng(seed)
    return [random_image(rng, corners) for _ in range(number)]


def random_image(rng: np.random.Generator, corners: int) -> Image:
    texts: list[np.ndarray] = []
    x = 0
    for _ in range(rng.integers(0 if corners == 4 else 1, 6)):
        x += int(rng.integers(0, 30))
        width, height = rng.integers([6, 4], [50, 30])
        texts.append(outline(rng, x, int(rng.integers(0, 30)), int(width), int(height), corners))
        x += int(width) + int(rng.integers(-4, 3))
    ignored = (rng.random(len(texts)) < 0.25).tolist()
    num_chars = rng.integers(1, 10, len(texts)).tolist()
    found = [p for text in texts for p in variants(rng, text, texts, corners)]
    if rng.random() < 0.3:
        found.append(outline(rng, 5, 50, 20, 10, corners))
    return texts, ignored, num_chars, [found[i] for i in rng.permutation(len(found))]


def outline(rng: np.random.Generator, x: int, y: int, w: int, h: int, corners: int) -> np.ndarray:
    box = rectangle(x, y, x + w, y + h)
    kind = rng.integers(8)
    if kind < 3:
        quad = box
    elif kind < 7:
        quad = box + rng.integers(-3, 4, (4, 2))
    else:  # crosses itself, encloses nothing
        quad = box[[[0, 2, 1, 3], [0, 1, 1, 0], [0, 0, 0, 0]][rng.integers(3)]]
    return np.maximum(quad if corners == 4 else bent(rng, quad, corners), 0).astype(np.float32)


def bent(rng: np.random.Generator, quad: np.ndarray, corners: int) -> np.ndarray:
    """Put corners on the upper and the lower side, and move them."""
    at = np.linspace(0, 1, corners // 2)[:, None]
    sides = np.concatenate([quad[0] * (1 - at) + quad[1] * at, quad[2] * (1 - at) + quad[3] * at])
    return np.rint(sides) + rng.integers(-1, 2, sides.shape) * (rng.random() < 0.5)


def variants(
    rng: np.random.Generator, text: np.ndarray, texts: list[np.ndarray], corners: int
) -> Iterator[np.ndarray]:
    """Yield what a detector may make of a text."""
    low, high = text.min(axis=0).astype(int), text.max(axis=0).astype(int)
    (x, y), (w, h) = low, high - low
    kind = rng.integers(9)
    if kind == 0:  # found exactly, twice
        yield from (text, text)
    elif kind == 1:  # in pieces
        cut = int(rng.integers(1, w)) if w > 1 else 0
        yield outline(rng, x, y, cut, h, corners)
        yield outline(rng, x + cut, y, w - cut, h, corners)
    elif kind == 2:  # in halves, the IoU with each is exactly one half
        for left in (x, x + w // 2):
            box = rectangle(left, y, left + w // 2, y + h)
            yield (box if corners == 4 else bent(rng, box, corners)).astype(np.float32)
    elif kind == 3:  # merged with the others
        points = np.concatenate(texts)
        left, top = points.min(axis=0).astype(int)
        right, bottom = points.max(axis=0).astype(int)
        yield outline(rng, left, top, right - left, bottom - top, corners)
    elif kind < 8:  # moved, cut short, too long
        moved = rng.integers([-6, -6, -8, -8], [7, 7, 9, 9])
        x, y, w, h = (np.array([x, y, w, h]) + moved * rng.integers(0, 2, 4)).tolist()
        yield outline(rng, x, y, max(w, 1), max(h, 1), corners)


def compare(name: str, theirs: Callable, images: list[Image], show: int) -> str:
    ours = PROTOCOLS[name]
    sums, seconds, different, odd, crashes = np.zeros((2, 4)), [0.0, 0.0], 0, 0, 0
    for index, (texts, ignored, num_chars, predictions) in enumerate(images):
        start = time.perf_counter()
        scene = Scene(texts, ignored, predictions, num_chars)
        row = np.array(ours(scene), np.float64)
        middle = time.perf_counter()
        try:
            other = np.array(theirs(texts, ignored, num_chars, predictions), np.float64)
        except Exception as error:  # a script that stops on an image is one of the findings
            crashes += 1
            if crashes <= show:
                print(f"  image {index}: script stops, {type(error).__name__}: {error}")
            continue
        seconds[0] += middle - start
        seconds[1] += time.perf_counter() - middle
        sums += row, other
        if not np.allclose(row, other, rtol=0, atol=1e-6):
            different += 1
            odd += not all(flags.all() for flags in scene.simple)
            if different - odd <= show and all(flags.all() for flags in scene.simple):
                print(f"  image {index}: ours {row.tolist()}, script {other.tolist()}")
    ratio = seconds[1] / seconds[0]
    counts = " / ".join(f"{mine:g} {other:g}" for mine, other in sums.T)
    return (
        f"{name:18} {len(images):5} images, {crashes} stop the script, {different} differ "
        f"({odd} with an outline that meets itself); ours, script: {counts}; "
        f"{1e3 * seconds[0] / len(images):.2f} ms an image, script {ratio:.1f} times as long"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scripts", type=Path, required=True)
    parser.add_argument("--gt", type=Path)
    parser.add_argument("--pred", type=Path, nargs="*", default=[])
    parser.add_argument("--random", type=int, default=5000)
    parser.add_argument("--only", nargs="*", default=list(PROTOCOLS))
    parser.add_argument("--show", type=int, default=0, help="differing images to print")
    args = parser.parse_args()
    sets = {pred.stem: images_of(args.gt, pred) for pred in args.pred}
    quads, polygons = (random_images(args.random, corners, seed=0) for corners in (4, 14))
    for name in args.only:
        script = load(args.scripts, name)
        if script is None:
            print(f"{name}: no script")
            continue
        chosen = sets | {"random quads": quads}
        if name not in OF_QUADS:
            chosen["random polygons"] = polygons
        with contextlib.suppress(ArithmeticError):  # compiles what it must
            script(*next(image for image in quads if image[0] and image[3]))
        for title, images in chosen.items():
            print(f"{title}: {compare(name, script, images, args.show)}", flush=True)


if __name__ == "__main__":
    main()
