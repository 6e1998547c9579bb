import pickle

from mmengine.runner import CheckpointLoader
from torch import nn

from dbnet.errors import UserError

WAY_OUT = (
    "give a local file with --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or train from scratch on purpose with --cfg-options model.backbone.init_cfg=None"
)


def load_imagenet_weights(backbone: nn.Module, checkpoint: str) -> None:
    """Load a classification checkpoint into a backbone.

    The classifier (`fc.*`) is left out; the offsets of deformable convolutions, which such a file
    cannot hold, keep their start.

    Args:
        backbone: Module with torchvision's parameter names.
        checkpoint: "torchvision://resnet18", a URL or a local file.

    Raises:
        UserError: The file cannot be had or read, or is not of this backbone.
    """
    try:
        loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
    except (OSError, KeyError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"ImageNet weights {checkpoint}: {reason}; {WAY_OUT}") from error
    state = loaded.get("state_dict", loaded)
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    try:
        result = backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"ImageNet weights {checkpoint} are not of this backbone: "
            f"{str(error).splitlines()[1].strip()}; {WAY_OUT}"
        ) from error
    missing = [key for key in result.missing_keys if "conv_offset" not in key]
    if missing or result.unexpected_keys:
        raise UserError(
            f"ImageNet weights {checkpoint} are not of this backbone: "
            f"{len(missing)} keys missing, {len(result.unexpected_keys)} unexpected "
            f"(first: {(missing + result.unexpected_keys)[0]}); {WAY_OUT}"
        )
