"""Registries of the scope `dbnet`; each finds mmengine's and mmcv's parts through its parent."""

from mmengine import registry as root
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str | None = None) -> Registry:
    locations = [f"dbnet.{location}"] if location else []
    return Registry(name, parent=parent, scope="dbnet", locations=locations)


MODELS = _child("model", root.MODELS, "models")
DATASETS = _child("dataset", root.DATASETS, "datasets")
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "datasets")
TRANSFORMS = _child("transform", root.TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", root.METRICS, "evaluation")
HOOKS = _child("hook", root.HOOKS, "engine")
LOOPS = _child("loop", root.LOOPS, "engine")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "engine")

# The Runner looks functions up in the root alone, whatever the scope.
FUNCTIONS = root.FUNCTIONS

# Without a part of ours so far. mmengine warns of every tree that does not know the scope.
EVALUATOR = _child("evaluator", root.EVALUATOR)
LOG_PROCESSORS = _child("log_processor", root.LOG_PROCESSORS)
MODEL_WRAPPERS = _child("model_wrapper", root.MODEL_WRAPPERS)
OPTIMIZERS = _child("optimizer", root.OPTIMIZERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS
)
PARAM_SCHEDULERS = _child("parameter scheduler", root.PARAM_SCHEDULERS)
RUNNERS = _child("runner", root.RUNNERS)
TASK_UTILS = _child("task util", root.TASK_UTILS)
VISBACKENDS = _child("vis_backend", root.VISBACKENDS)
VISUALIZERS = _child("visualizer", root.VISUALIZERS)
WEIGHT_INITIALIZERS = _child("weight initializer", root.WEIGHT_INITIALIZERS)
