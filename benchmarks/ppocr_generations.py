"""Compare detectors in ONNX files, read as PyTorch modules, with ONNX Runtime on the same images.

    pip install onnx onnxruntime
    python benchmarks/ppocr_generations.py FILE.onnx... --images FOLDER [--number 20]

Prints, for each file and each length of the short side: parameters, the largest difference of the
probability maps, on the first images that of both to ours in float64, which tells whose rounding it
is, and seconds per image of both, medians of one run that takes the sides in turn.
"""

import argparse
import copy
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

from dbnet.apis.detector import init_detector
from dbnet.checkpoints.foreign import FOREIGN_CONFIG
from dbnet.cli.model_info import count_parameters
from dbnet.utils.text import format_table, natural_key

EXACT_IMAGES = 3  # of which float64 is computed
HEADER = (
    "file",
    "parameters",
    "side",
    "difference",
    "ours to f64",
    "ORT to f64",
    "ours s",
    "ORT s",
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare with ONNX Runtime.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG files")
    parser.add_argument("--number", type=int, default=20, help="of images")
    parser.add_argument("--sides", nargs="+", type=int, default=[736, 1024], help="in pixels")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    paths = sorted(args.images.glob("*.jpg"), key=lambda path: natural_key(path.name))
    images = [cv2.imread(str(path)) for path in paths[: args.number]]
    rows = [HEADER]
    for file in args.files:
        for side in args.sides:
            rows.append((file.stem, *measure(file, side, images, args.threads)))
            print("\n".join(format_table(rows)), flush=True)


@torch.inference_mode()
def measure(file: Path, side: int, images: list[np.ndarray], threads: int) -> tuple[str, ...]:
    """Run both on all images, resized to a short side (pixels, both a multiple of 32)."""
    model = init_detector(FOREIGN_CONFIG, file)
    own_parts = (model.backbone, model.det_head.binarize)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(file), options)
    name = session.get_inputs()[0].name
    exact = copy.deepcopy(model).double()
    worst, times = np.zeros(3), {"ours": [], "theirs": []}
    for index, image in enumerate(images):
        scale = side / min(image.shape[:2])
        width, height = (round(scale * size / 32) * 32 for size in image.shape[1::-1])
        pixels = torch.from_numpy(cv2.resize(image, (width, height))).permute(2, 0, 1)[None]
        x = model.data_preprocessor(dict(inputs=pixels.contiguous()))["inputs"]
        array = x.numpy().copy(order="C")
        start = time.perf_counter()
        ours = model(x).numpy()
        middle = time.perf_counter()
        theirs = session.run(None, {name: array})[0][:, 0]
        times["theirs"].append(time.perf_counter() - middle)
        times["ours"].append(middle - start)
        truth = exact(x.double()).numpy() if index < EXACT_IMAGES else None
        pairs = [(ours, theirs), (ours, truth), (theirs, truth)][: 1 if truth is None else 3]
        for i, (one, other) in enumerate(pairs):
            worst[i] = max(worst[i], np.abs(one - other).max())
    count = sum(count_parameters(part)["total"] for part in own_parts)
    seconds = (f"{statistics.median(times[side][1:]):.3f}" for side in ("ours", "theirs"))
    return f"{count / 1e6:.2f} M", str(side), *(f"{w:.1e}" for w in worst), *seconds


if __name__ == "__main__":
    main()
