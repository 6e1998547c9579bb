"""Compare training on the images that a detector doubts most with training on others at random.

    pip install rapidocr onnxruntime
    python benchmarks/doubt.py --data-root data/icdar2015 --model MODEL.onnx --out doubt

Needs `dbnet prepare icdar2015 --val-fraction 0.1` and a detector that has not seen the images, such
as PP-OCRv6_det_small.onnx of rapidocr; the package's own has. `dbnet infer --rank` ranks the
training images, `--num` of the first and as many at random are trained on for `--steps` steps, and
both models are tested on the validation images. For each seed: hmean by the competition's protocol,
and the difference with its 95 % interval, from resampled validation images. What is there already
in `--out` is not made again.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
from pathlib import Path

from dbnet.cli.options.values import parse_size

CONFIG = "dbnet_ppocrv6-small_3k_icdar2015"
TRAIN = """
_base_ = [{base!r}]
_loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=4, dataset=dict(ann_file={ann_file!r}), **_loader)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=20),
]
custom_hooks = [dict(type="NonFiniteLossHook"), dict(type="EMAHook", momentum=0.02)]
val_dataloader = None
val_cfg = None
val_evaluator = None
"""


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool = json.loads((args.data_root / "textdet_trainpart.json").read_text())
    ranked = rank(pool["data_list"], args)
    rows = []
    for seed in range(args.seeds):
        sampled = random.Random(seed).sample(sorted(ranked), args.num)
        arms = {"doubt": ranked[: args.num], "random": sampled}
        results = {a: train(f"{a}_{seed}", paths, pool, seed, args) for a, paths in arms.items()}
        hmeans = {arm: hmean(path) for arm, path in results.items()}
        common = len({*arms["doubt"]} & {*sampled})
        rows.append(dict(seed=seed, common=common, **hmeans))
        print(rows[-1], compare(results, args), sep="\n", flush=True)
    (args.out / "table.json").write_text(json.dumps(rows, indent=1))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Does doubt choose better images to label?")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file to start from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--num", type=int, default=100, help="images to train on")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rank-size", default="640,360", type=parse_size)
    parser.add_argument("--test-size", default="1280,720", type=parse_size)
    return parser.parse_args()


def dbnet(*arguments: object) -> str:
    """Run a command of the package; return what it prints."""
    command = [sys.executable, "-c", "from dbnet.cli.main import main; raise SystemExit(main())"]
    done = subprocess.run(
        [*command, *map(str, arguments)], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(done.stdout)
    return done.stdout


def sized(size: tuple[int, int]) -> str:
    return f"{size[0]},{size[1]}"


def rank(entries: list[dict], args: argparse.Namespace) -> list[str]:
    """Return the paths of the images, the one in most doubt first."""
    table = args.out / "rank.csv"
    if not table.exists():
        paths = [args.data_root / entry["img_path"] for entry in entries]
        size = ("--test-size", sized(args.rank_size))
        options = ("--rank", "--amp", "--checkpoint", args.model, *size)
        print(dbnet("infer", *paths, "--out", args.out, *options), flush=True)
    with table.open(encoding="utf-8", newline="") as file:
        return [row["img_path"] for row in csv.DictReader(file)]


def train(name: str, paths: list[str], pool: dict, seed: int, args: argparse.Namespace) -> Path:
    """Train on some images, test on the validation images; return the results' path."""
    results, work_dir = args.out / f"{name}.json", args.out / name
    if results.exists():
        return results
    wanted = {Path(path).resolve() for path in paths}
    chosen = []
    for entry in pool["data_list"]:
        path = (args.data_root / entry["img_path"]).resolve()
        if path in wanted:
            chosen.append({**entry, "img_path": str(path)})
    labels, config = args.out / f"{name}_labels.json", args.out / f"{name}_config.py"
    labels.write_text(json.dumps({**pool, "data_list": chosen}))
    base = Path(__file__).parents[1] / "configs" / "textdet" / "dbnet" / f"{CONFIG}.py"
    config.write_text(TRAIN.format(base=str(base.resolve()), ann_file=str(labels.resolve())))
    backbone = f"model.backbone.file={args.model.resolve()}"
    schedule = (
        f"train_cfg.max_iters={args.steps}",
        f"default_hooks.checkpoint.interval={args.steps}",
    )
    options = ("--amp", "--seed", seed, "--data-root", args.data_root, "--work-dir", work_dir)
    dbnet("train", config, *options, "--cfg-options", backbone, *schedule)
    test = ("--out", results, "--data-root", args.data_root, "--work-dir", work_dir / "test")
    validation = "test_dataloader.dataset.ann_file=textdet_val.json"
    size = ("--test-size", sized(args.test_size))
    checkpoint = work_dir / f"iter_{args.steps}.pth"
    dbnet("test", config, checkpoint, *test, *size, "--cfg-options", backbone, validation)
    return results


def hmean(results: Path) -> float:
    return round(json.loads(results.read_text())["metrics"]["icdar/official_hmean"], 4)


def compare(results: dict[str, Path], args: argparse.Namespace) -> str:
    """Return what `dbnet evaluate` says of the difference."""
    truth = ("--gt", args.data_root / "textdet_val.json")
    return dbnet("evaluate", "--pred", results["doubt"], "--against", results["random"], *truth)


if __name__ == "__main__":
    main()
