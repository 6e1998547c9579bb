from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from dbnet.models.detectors.dbnet import unwrap
from dbnet.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DepthDecay(DefaultOptimWrapperConstructor):
    """Give the modules of an `ONNXGraph` learning rates that grow with their depth.

    Of n modules with weights, the i-th (from 0, in the order of the computation) has the learning
    rate times `depth_decay ** (n - i)`; neck, head and what `custom_keys` names have the full one.

    `paramwise_cfg` is mmengine's, and `depth_decay` in it.
    """

    paramwise_cfg: dict[str, Any]

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer of a detector; a ValueError says that its backbone is no graph."""
        decay = self.paramwise_cfg.get("depth_decay")
        graph = getattr(unwrap(model).get_submodule("backbone"), "graph", None)
        if graph is None or not isinstance(decay, float) or not 0 < decay <= 1:
            raise ValueError(
                f"depth_decay: is for the backbone ONNXGraph, a number in 0..1, got {decay!r}"
            )
        names = list(dict.fromkeys(node.name for node in graph.nodes if node.name))
        mults = {
            f"backbone.{name}.": dict(lr_mult=decay ** (len(names) - i))
            for i, name in enumerate(names)
        }
        given = self.paramwise_cfg.get("custom_keys") or {}
        self.paramwise_cfg = {**self.paramwise_cfg, "custom_keys": {**mults, **given}}
        return super().__call__(model)
