"""Registries of the scope `dbnet`; each finds mmengine's and mmcv's parts through its parent."""

from mmengine import registry as root
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope="dbnet", locations=[f"dbnet.{location}"])


MODELS = _child("model", root.MODELS, "models")
DATASETS = _child("dataset", root.DATASETS, "datasets")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "datasets")
TRANSFORMS = _child("transform", root.TRANSFORMS, "datasets.transforms")
FUNCTIONS = _child("function", root.FUNCTIONS, "datasets")
METRICS = _child("metric", root.METRICS, "evaluation")
HOOKS = _child("hook", root.HOOKS, "engine")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "engine")
