"""The weights that come with the package, so that a detector is there right after installation."""

from pathlib import Path
from typing import NamedTuple

from dbnet.errors import UserError

FOLDER = Path(__file__).parent
# Configs by the names that commands take for config and weights; the first is the default.
SHIPPED = dict(
    small="dbnet_ppocrv6-small_3k_icdar2015",
    turned="dbnet_ppocrv6-small_any_icdar2015",
    tiny="dbnet_ppocrv6-tiny_turned_icdar2015",
)


class ShippedModel(NamedTuple):
    """Weights, `CONFIG-HASH.pth`, and the config that they are for; a card lies beside them.

    Attributes:
        config: Name of the config.
        checkpoint: Path of the weights.
    """

    config: str
    checkpoint: Path


def shipped_model(name: str = "small") -> ShippedModel:
    """Find the weights in the package.

    Args:
        name: One of `SHIPPED`.

    Raises:
        UserError: There is no such model, or it was left out of this installation.
    """
    if name not in SHIPPED:
        raise UserError(f"dbnet://{name}: the package has the models {', '.join(SHIPPED)}")
    files = sorted(FOLDER.glob(f"{SHIPPED[name]}-*.pth"))
    if not files:
        raise UserError(
            f"{FOLDER} holds no weights of the model {name}: install the package whole, or give a "
            "config and a checkpoint"
        )
    return ShippedModel(SHIPPED[name], files[-1])
