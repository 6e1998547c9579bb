import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process

from dbnet.checkpoints.read import load_weights
from dbnet.cli.arguments import check_folder
from dbnet.cli.errors import one_line_errors
from dbnet.cli.launch import (
    LAUNCHERS,
    config_mistakes_told,
    set_launcher,
    skip_imagenet_weights,
)
from dbnet.cli.train import default_work_dir
from dbnet.config.load import load_config, parse_size
from dbnet.datasets.image_paths import image_paths
from dbnet.engine.runner import EvaluationRunner
from dbnet.engine.show_predictions_hook import ShowPredictionsHook
from dbnet.errors import UserError
from dbnet.evaluation import (
    PredictionCollector,
    check_submission_path,
    format_metrics,
    submission_names,
    write_submission,
)
from dbnet.utils.files import replace_when_complete


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dbnet test", description="Test a text detector.")
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
        "--test-size", type=parse_size, metavar="W,H", help="long and short side at most, in pixels"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    parser.add_argument("--launcher", choices=["none", *LAUNCHERS], default="none")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    check_outputs(args)
    config = make_config(args)

    with config_mistakes_told(args.config):
        runner = EvaluationRunner.from_cfg(config)
        load_weights(runner.model, args.checkpoint)
        dataset = runner.test_loop.dataloader.dataset
    if args.submit:
        submission_names(image_paths(dataset))  # tells images of one name
    if args.show_dir:
        runner.register_hook(ShowPredictionsHook(os.path.abspath(args.show_dir)))
    runner.test_evaluator.metrics.append(collector := PredictionCollector())
    metrics = runner.test()
    if is_main_process():
        # First, in case a file cannot be written.
        print(*format_metrics(metrics), sep="\n", flush=True)
        if args.out:
            write_results(Path(args.out), metrics, collector.images)
        if args.submit:
            write_submission(args.submit, collector.images)
    return 0


def make_config(args: argparse.Namespace) -> Config:
    config = load_config(args.config, args.cfg_options, args.data_root, args.test_size)
    if config.get("test_dataloader") is None:
        raise UserError(f"config {args.config}: no test_dataloader, so there is nothing to test on")
    set_launcher(config, args.launcher)
    config.work_dir = args.work_dir or config.get("work_dir") or default_work_dir(args.config)
    check_folder("work directory", config.work_dir)
    config.resume, config.load_from = False, None
    skip_imagenet_weights(config)
    return config


def check_outputs(args: argparse.Namespace) -> None:
    """See, before hours of work, that what is asked for can be written and replaces no other file.

    Raises:
        UserError: It cannot, or would.
    """
    if args.submit:
        check_submission_path(args.submit)
    if args.out:
        check_results_path(Path(args.out))
    if args.out and args.submit and os.path.realpath(args.out) == os.path.realpath(args.submit):
        raise UserError(f"--out and --submit are both {args.out}, choose another name for one")
    if args.show_dir:
        check_folder("--show-dir", args.show_dir)


def check_results_path(path: Path) -> None:
    """See that a `results.json` can be written, and replaces no file but an earlier one.

    Raises:
        UserError: It cannot, or would.
    """
    check_writable(path)
    if os.path.lexists(path) and not holds_results(path):
        raise UserError(f"--out {path} is there already and no results.json, choose another name")


def holds_results(path: Path) -> bool:
    """Tell whether a file is of `write_results`, or is empty."""
    try:
        content = json.loads(path.read_bytes() or b'{"metrics": {}, "images": []}')
    except (OSError, ValueError, RecursionError):  # no JSON or no UTF-8
        return False
    return isinstance(content, dict) and {"metrics", "images"} <= content.keys()


def check_writable(path: Path) -> None:
    """Make the folder of a file and see, before hours of work, that the file can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--out {path}: cannot be written")


def write_results(path: Path, metrics: dict[str, float], images: Sequence[dict]) -> None:
    """Write `results.json` whole or not at all."""
    try:
        with replace_when_complete(path) as partial:
            partial.write_text(json.dumps(dict(metrics=metrics, images=list(images))))
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from error
