"""Measure how many images `SyntheticTextDataset` draws per second on one core.

    python benchmarks/synthetic.py [--out synthetic.json]

Processor time of one thread, so that other processes matter little; of several rounds over the
same scenes the best and the median. Fonts and photos are warm.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2

from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.utils.memory import keep_freed_memory

SIZES = (256, 640)
DIFFICULTIES = (0.0, 0.3, 0.7, 1.0)


def measure(dataset: SyntheticTextDataset, rounds: int) -> list[float]:
    """Give the seconds per image of each round, after one that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.process_time()
        for index in range(len(dataset)):
            dataset.scene(index)
        seconds.append((time.process_time() - start) / len(dataset))
    return seconds[1:]


def measure_all(images: int, rounds: int) -> list[dict]:
    """Measure each size and difficulty."""
    rows = []
    for size in SIZES:
        for difficulty in DIFFICULTIES:
            dataset = SyntheticTextDataset((size, size), images, difficulty=difficulty)
            seconds = measure(dataset, rounds)
            rows.append(
                dict(
                    size=size,
                    difficulty=difficulty,
                    images_per_second=round(1 / min(seconds), 1),
                    median_images_per_second=round(1 / statistics.median(seconds), 1),
                )
            )
    return rows


def main() -> None:
    """Print a table and, with `--out`, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60, help="scenes per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    keep_freed_memory()  # as the dataset's workers do
    rows = measure_all(args.images, args.rounds)
    print("  size  difficulty  images/s (best)  images/s (median)")
    for row in rows:
        print(
            f"{row['size']:6d}{row['difficulty']:12.1f}{row['images_per_second']:17.1f}"
            f"{row['median_images_per_second']:19.1f}"
        )
    if args.out:
        args.out.write_text(json.dumps(dict(opencv=cv2.__version__, rows=rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
