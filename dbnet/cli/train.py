import argparse
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from dbnet.checkpoint import load_weights, read_checkpoint
from dbnet.cli.errors import one_line_errors
from dbnet.config import load_config
from dbnet.engine.hooks import MetricsHook
from dbnet.engine.optim_wrapper import has_fast_bfloat16
from dbnet.errors import UserError
from dbnet.evaluation import format_metrics


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train", description="Train a text detector.")
    parser.add_argument("config", help="config file, or its name")
    parser.add_argument(
        "--work-dir", help="logs and checkpoints; ./work_dirs/CONFIG_NAME if not given"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|CKPT",
        help="go on from the work directory's last checkpoint (from the start if it has none), or "
        "from a file",
    )
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision, on CUDA or a CPU with bf16"
    )
    parser.add_argument("--seed", type=int, help="of initialisation, order and augmentation")
    parser.add_argument("--data-root", help="folder of the annotation files")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm"], default="none")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    config = load_config(args.config, args.cfg_options, data_root=args.data_root)
    config.launcher = args.launcher
    config.work_dir = args.work_dir or config.get("work_dir") or default_work_dir(args.config)
    set_start(config, args.resume, args.seed)
    if args.amp:
        enable_amp(config)

    load_from = None if config.get("resume") else config.pop("load_from", None)
    runner = Runner.from_cfg(config)
    if load_from is not None:
        load_weights(runner.model, load_from, strict=False)
    runner.register_hook(last := MetricsHook())
    runner.train()
    if is_main_process():
        print(*format_metrics(last.metrics), sep="\n")
    return 0


def default_work_dir(config_name: str) -> str:
    return str(Path("work_dirs") / Path(config_name).stem)


def set_start(config: Config, resume: str | None, seed: int | None) -> None:
    """Decide what training starts from: a checkpoint to resume, weights to load, or its `init_cfg`.

    Raises:
        UserError: The work directory holds checkpoints and `resume` is None, or `seed` is not the
            seed of the run that goes on.
    """
    if seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": seed}
    latest = find_latest_checkpoint(config.work_dir) if resume == "auto" else resume
    if resume is None and any(Path(config.work_dir).glob("*.pth")):
        raise UserError(
            f"work directory {config.work_dir} holds checkpoints already: go on with --resume, or "
            "give another with --work-dir"
        )
    if latest is not None:
        resume_seed(config, latest, seed)
        config.resume, config.load_from = True, latest
    if config.get("load_from") and config.model.backbone.get("init_cfg") is not None:
        config.model.backbone.init_cfg = None  # its weights would be overwritten at once


def resume_seed(config: Config, checkpoint: str, seed: int | None) -> None:
    """Take the seed from a checkpoint: mmengine restores it only after the sampler has another."""
    stored = read_checkpoint(checkpoint).get("meta", {}).get("seed")
    if stored is None:
        raise UserError(f"checkpoint {checkpoint}: no training state to resume; use load_from")
    if seed is not None and seed != stored:
        raise UserError(f"--seed {seed}: the run that goes on from {checkpoint} has seed {stored}")
    config.randomness = {**config.get("randomness", {}), "seed": stored}


def enable_amp(config: Config) -> None:
    """Set the optimizer wrapper to bfloat16 where the device has it, else to float16 on CUDA."""
    import torch

    if has_fast_bfloat16():
        config.optim_wrapper.type = "Bfloat16OptimWrapper"
    elif torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.loss_scale = "dynamic"
    else:
        print_log("--amp: this CPU has no bfloat16, training in float32", level=30)
