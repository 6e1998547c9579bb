from collections.abc import Callable, Mapping

from torch import Tensor, nn

from dbnet.checkpoints.read import read_checkpoint
from dbnet.errors import UserError

WAY_OUT = (
    "give a local file with --cfg-options model.backbone.init_cfg.checkpoint=FILE, "
    "or train from scratch on purpose with --cfg-options model.backbone.init_cfg=None"
)


def load_imagenet_weights(
    backbone: nn.Module,
    checkpoint: str,
    what: str = "ImageNet",
    rename: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load a pre-trained checkpoint, of a classifier or the like, into a backbone.

    The classifier (`fc.*`) is left out; the offsets of deformable convolutions, which such a file
    cannot hold, keep their start.

    Args:
        backbone: Module with the file's parameter names, after `rename`.
        checkpoint: "torchvision://resnet18", a URL or a local file.
        what: What the weights come from, for messages.
        rename: Gives a state dict by the backbone's names from that of the file.

    Raises:
        UserError: The file cannot be had or read, or is not of this backbone.
    """
    try:
        loaded = read_checkpoint(checkpoint)
    except UserError as error:
        raise UserError(f"{what} weights: {error}; {WAY_OUT}") from None
    state = rename(loaded.get("state_dict", loaded))
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    try:
        result = backbone.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"{what} weights {checkpoint} are not of this backbone: "
            f"{str(error).splitlines()[1].strip()}; {WAY_OUT}"
        ) from error
    missing = [key for key in result.missing_keys if "conv_offset" not in key]
    if missing or result.unexpected_keys:
        raise UserError(
            f"{what} weights {checkpoint} are not of this backbone: "
            f"{len(missing)} keys missing, {len(result.unexpected_keys)} unexpected "
            f"(first: {(missing + result.unexpected_keys)[0]}); {WAY_OUT}"
        )
