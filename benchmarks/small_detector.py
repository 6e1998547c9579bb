"""Compare the model in the package with RapidOCR's detector on ICDAR2015's test images.

    pip install rapidocr onnxruntime
    python benchmarks/small_detector.py --data-root data/icdar2015 --sizes 1333,736 4068,1024

Both detectors find the texts of the same images; the metric is ours for both. RapidOCR runs as it
comes: its own input, its own post-processing, ONNX Runtime. It finds lines, ICDAR2015 wants words.
Seconds are of everything between a decoded image and polygons; both sides take turns on each image,
with as many threads each as `--threads` says. Writes the table as JSON, and what each detector
finds as `results.json` files, into `--out`.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import dbnet
from dbnet.cli.options.values import parse_size
from dbnet.config.load import load_config
from dbnet.datasets import TextDetDataset
from dbnet.evaluation.metrics import HmeanIOUMetric
from dbnet.evaluation.results import write_results
from dbnet.images import read_image
from dbnet.weights import shipped_model

Detector = Callable[[np.ndarray], dict]


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    detectors = {f"ours at {w},{h}": our_detector((w, h)) for w, h in args.sizes}
    if not args.ours_alone:
        detectors["RapidOCR out of the box"] = rapidocr_detector(args.threads)
    dataset = TextDetDataset("textdet_test.json", args.data_root, test_mode=True)
    rows, found = compare(detectors, dataset, args.images or len(dataset))
    print_table(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "table.json").write_text(json.dumps(rows, indent=1))
    for row, images in zip(rows, found.values()):
        metrics = {key: value for key, value in row.items() if "/" in key}
        name = row["detector"].replace(" ", "_")
        write_results(args.out / f"{name}.json", metrics, images)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare with RapidOCR on ICDAR2015.")
    parser.add_argument("--data-root", required=True, help="folder of textdet_test.json")
    parser.add_argument("--sizes", nargs="+", type=parse_size, default=[(1333, 736)])
    parser.add_argument("--images", type=int, help="the first so many (default: all)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ours-alone", action="store_true", help="without RapidOCR")
    parser.add_argument("--out", type=Path, default=Path("small_detector"))
    return parser.parse_args()


def our_detector(size: tuple[int, int]) -> Detector:
    name, checkpoint = shipped_model()
    inferencer = dbnet.TextDetInferencer(load_config(name, test_size=size), checkpoint)
    return lambda image: inferencer(image)[0]


def rapidocr_detector(threads: int) -> Detector:
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "Global.log_level": "warning",
        }
    )

    def detect(image: np.ndarray) -> dict:
        found = engine(image, use_det=True, use_cls=False, use_rec=False)
        boxes = [] if found.boxes is None else found.boxes
        scores = [] if found.scores is None else found.scores
        return dict(
            polygons=[np.asarray(box, np.float32).reshape(-1, 2) for box in boxes],
            scores=np.asarray(scores, np.float32),
        )

    return detect


def compare(
    detectors: dict[str, Detector], dataset: TextDetDataset, num_images: int
) -> tuple[list[dict], dict[str, list[dict]]]:
    """Give a row per detector: metrics, and the median of the seconds per image; and the finds."""
    images: dict[str, list[dict]] = {name: [] for name in detectors}
    metrics = {name: HmeanIOUMetric() for name in detectors}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for index in range(num_images):
        entry = dataset.get_data_info(index)
        image = read_image(entry["img_path"])
        meta = dict(
            img_path=entry["img_path"],
            gt_polygons=entry["polygons"],
            gt_ignored=entry["ignored"],
        )
        for name, detect in detectors.items():
            start = time.perf_counter()
            found = detect(image)
            seconds[name].append(time.perf_counter() - start)
            metrics[name].process(dict(metas=[meta]), [found])
            polygons = [polygon.flatten().tolist() for polygon in found["polygons"]]
            scores = found["scores"].tolist()
            images[name].append(dict(img_path=entry["img_path"], polygons=polygons, scores=scores))
        if index % 50 == 49:
            print(f"{index + 1} of {num_images} images", flush=True)
    rows = [
        dict(
            detector=name,
            images=num_images,
            seconds_per_image=float(np.median(seconds[name])),
            **metrics[name].evaluate(num_images),
        )
        for name in detectors
    ]
    return rows, images


def print_table(rows: list[dict]) -> None:
    keys = [key for key in rows[0] if key != "detector"]
    print("| detector |", " | ".join(keys), "|")
    print("|---|" + "---|" * len(keys))
    for row in rows:
        cells = [f"{row[key]:.4f}" if isinstance(row[key], float) else row[key] for key in keys]
        print(f"| {row['detector']} |", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
