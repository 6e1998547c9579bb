import argparse
import os

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from dbnet.apis.evaluation import evaluation_runner
from dbnet.cli.console import command
from dbnet.config.load import load_config
from dbnet.datasets.image_paths import image_paths
from dbnet.deploy.runtimes import is_exported
from dbnet.engine.show_predictions_hook import ShowPredictionsHook
from dbnet.engine.start import check_folder, default_work_dir, set_launcher, skip_imagenet_weights
from dbnet.errors import UserError
from dbnet.evaluation.closing_lines import format_metrics
from dbnet.evaluation.counts import RESAMPLES
from dbnet.evaluation.metrics import HmeanIOUMetric, PredictionCollector, ProtocolMetric
from dbnet.evaluation.results import check_results_path, write_results
from dbnet.evaluation.submission import check_submission_path, submission_names, write_submission
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.utils.log import log


@command("test")
def main(args: argparse.Namespace) -> int:
    """Test a detector and print its metrics; return the exit status."""
    check_outputs(args)
    config = make_config(args)
    runner = evaluation_runner(config, args.checkpoint, args.config)
    if args.submit:  # refuses images of one name
        submission_names(image_paths(runner.test_loop.dataloader.dataset))
    if args.show_dir:
        runner.register_hook(ShowPredictionsHook(os.path.abspath(args.show_dir)))
    for metric in runner.test_evaluator.metrics:
        if isinstance(metric, HmeanIOUMetric | ProtocolMetric):
            metric.bootstrap = metric.bootstrap or RESAMPLES
    runner.test_evaluator.metrics.append(collector := PredictionCollector())
    metrics = runner.test()
    if is_main_process():
        # First, in case a file cannot be written.
        print(*format_metrics(metrics), sep="\n", flush=True)
        if args.out:
            write_results(args.out, metrics, collector.images)
        if args.submit:
            write_submission(args.submit, collector.images)
    return 0


def make_config(args: argparse.Namespace) -> Config:
    """Load the config, ready to be tested from a checkpoint."""
    config = load_config(args.config, args.cfg_options, args.data_root, args.test_size)
    if config.get("test_dataloader") is None:
        raise UserError(f"config {args.config}: no test_dataloader, so there is nothing to test on")
    set_launcher(config, args.launcher)
    config.work_dir = args.work_dir or config.get("work_dir") or default_work_dir(args.config)
    check_folder("work directory", config.work_dir)
    config.resume, config.load_from = False, None
    if args.amp:
        enable_test_amp(config, args.checkpoint)
    if args.tta:
        loop = {**(config.get("test_cfg") or {}), "type": "OverlappedTestLoop", "tta": args.tta}
        config.test_cfg = loop
    skip_imagenet_weights(config)
    return config


def enable_test_amp(config: Config, checkpoint: str) -> None:
    """Run the network in bfloat16, or float16 on CUDA without it, where the device has it."""
    if is_exported(checkpoint):
        raise UserError(f"--amp: {checkpoint} has its precision; export it with --precision bf16")
    if has_fast_bfloat16() or torch.cuda.is_available():
        torch.set_float32_matmul_precision("high")  # as in training
        config.test_cfg = {**(config.get("test_cfg") or {}), "fp16": True}
    else:
        log("--amp: this CPU has no bfloat16, testing in float32", level=30)


def check_outputs(args: argparse.Namespace) -> None:
    """Check, before hours of work, that every output can be written and replaces no other file."""
    if args.submit:
        check_submission_path(args.submit)
    if args.out:
        check_results_path(args.out)
    if args.out and args.submit and os.path.realpath(args.out) == os.path.realpath(args.submit):
        raise UserError(f"--out and --submit are both {args.out}, choose another name for one")
    if args.show_dir:
        check_folder("--show-dir", args.show_dir)
