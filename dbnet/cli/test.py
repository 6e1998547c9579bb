import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import DictAction
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from dbnet.checkpoint import load_weights
from dbnet.cli.errors import one_line_errors
from dbnet.cli.launch import LAUNCHERS, set_launcher
from dbnet.cli.train import default_work_dir
from dbnet.config import load_config, parse_size
from dbnet.engine.hooks import ShowPredictionsHook
from dbnet.errors import UserError
from dbnet.evaluation import (
    PredictionCollector,
    check_submission_path,
    format_metrics,
    write_submission,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="test", description="Test a text detector.")
    parser.add_argument("config", help="config file, or its name")
    parser.add_argument("checkpoint", help="file or URL, of this project or of MMOCR")
    parser.add_argument("--out", metavar="results.json", help="write metrics and predictions")
    parser.add_argument(
        "--submit", type=Path, metavar="submit.zip", help="write predictions for the competition"
    )
    parser.add_argument("--show-dir", help="draw predictions and ground truth into this folder")
    parser.add_argument("--work-dir", help="logs; ./work_dirs/CONFIG_NAME if not given")
    parser.add_argument("--data-root", help="folder of the annotation files")
    parser.add_argument(
        "--test-size", type=parse_size, metavar="W,H", help="images are fitted into it"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    parser.add_argument("--launcher", choices=["none", *LAUNCHERS], default="none")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    if args.submit:
        check_submission_path(args.submit)
    config = load_config(args.config, args.cfg_options, args.data_root, args.test_size)
    if config.get("test_dataloader") is None:
        raise UserError(f"config {args.config}: no test_dataloader, so there is nothing to test on")
    set_launcher(config, args.launcher)
    config.work_dir = args.work_dir or config.get("work_dir") or default_work_dir(args.config)
    config.resume, config.load_from = False, None
    config.model.backbone.init_cfg = None

    runner = Runner.from_cfg(config)
    load_weights(runner.model, args.checkpoint)
    if args.show_dir:
        runner.register_hook(ShowPredictionsHook(args.show_dir))
    runner.test_evaluator.metrics.append(collector := PredictionCollector())
    metrics = runner.test()
    if is_main_process():
        if args.out:
            write_results(Path(args.out), metrics, collector.images)
        if args.submit:
            write_submission(args.submit, collector.images)
        print(*format_metrics(metrics), sep="\n")
    return 0


def write_results(path: Path, metrics: dict[str, float], images: Sequence[dict]) -> None:
    """Write `results.json` under a temporary name first, so that no half of it is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(dict(metrics=metrics, images=list(images))))
    os.replace(temporary, path)
