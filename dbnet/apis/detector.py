"""Detectors from configs, without a runner."""

import copy
import os
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope

from dbnet.checkpoints.foreign import place_graph
from dbnet.checkpoints.model_folder import is_model_folder
from dbnet.checkpoints.read import load_weights
from dbnet.config.check import RUNNER_KEYS, mistakes
from dbnet.config.load import load_config
from dbnet.config.override import override
from dbnet.errors import UserError, line_of
from dbnet.registry import MODELS

# What inference uses of a config, by patterns of its places.
USED = ("model", r"test_dataloader\..*\bpipeline")


def init_detector(
    config: str | os.PathLike[str] | Config,
    checkpoint: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    cfg_options: dict[str, Any] | None = None,
) -> BaseModel:
    """Build a detector in evaluation mode.

    Args:
        config: A file, the name of one of the project's configs, or a loaded config, which is left
            as it is; or, without a checkpoint, a model's folder or "hf://OWNER/NAME".
        checkpoint: Path or URL of weights of this project or of MMOCR, or an ONNX file for a
            config whose backbone is an `ONNXGraph`. None leaves the random
            initialisation, and nothing is downloaded: not even ImageNet weights.
        device: "cpu", "cuda", "cuda:1", ...
        cfg_options: Values that replace those of the config, by dotted path.

    Raises:
        UserError: The config, the checkpoint or the device cannot be had, or they do not fit.
    """
    device = check_device(device)
    if checkpoint is None and is_model_folder(config):
        checkpoint = str(config)
    config = resolve_config(config, cfg_options)
    if not config.get("model"):
        raise UserError(f"config {config.filename}: no model in it")
    if checkpoint is not None:
        config = copy.deepcopy(config)
        checkpoint = place_graph(config, os.fspath(checkpoint))
    try:
        with DefaultScope.overwrite_default_scope(scope_of(config)):
            detector = MODELS.build(config.model)
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        reason = line_of(error, -1)
        raise UserError(f"config {config.filename}: {reason}") from error
    if checkpoint is not None:
        load_weights(detector, checkpoint)
    # The inputs are so too: convolutions need not reorder them, a fifth of a CPU's time.
    return detector.to(device, memory_format=torch.channels_last).eval()


def resolve_config(
    config: str | os.PathLike[str] | Config, cfg_options: dict[str, Any] | None = None
) -> Config:
    """Load a config unless it is loaded, and replace values in a copy of it."""
    if not isinstance(config, Config):
        return load_config(os.fspath(config), cfg_options, parts=USED)
    if not cfg_options:
        return config
    tree = {"default_scope": scope_of(config), **config.to_dict()}
    settings = {key: value for key, value in tree.items() if key in RUNNER_KEYS}
    helpers = {key: value for key, value in tree.items() if key not in RUNNER_KEYS}
    settings = override(settings, helpers, cfg_options)
    for mistake in mistakes(settings, settings["default_scope"]):
        raise UserError(f"cfg_options {mistake}")
    return Config(settings, filename=config.filename)


def scope_of(config: Config) -> str:
    """Name the registry scope that a config is written for."""
    return config.get("default_scope") or "dbnet"


def check_device(device: str | torch.device) -> torch.device:
    """Make sure that a device is there, by using it."""
    try:
        checked = torch.device(device)
        torch.zeros(1, device=checked).item()
    # torch's ways of refusing: unknown name, not built in, no driver, no such index, "meta".
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0] or type(error).__name__
        raise UserError(f"device {device}: cannot be used ({reason}); try cpu") from None
    return checked
