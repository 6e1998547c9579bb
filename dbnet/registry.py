"""Registries of the scope `dbnet`; each finds mmengine's and mmcv's parts through its parent."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmengine import registry as root
from mmengine.registry import Registry

PLAIN = (bool, int, float, str, list, tuple)


@contextmanager
def naming(part: Any) -> Iterator[None]:
    """Note in an exception, as its attribute `part`, what was built from which config.

    The innermost part stays: "SGD(lr=-1)". What is built already has no config.
    """
    try:
        yield
    except Exception as error:
        if isinstance(part, Mapping) and not hasattr(error, "part"):
            error.part = describe_part(part)  # type: ignore[attr-defined]  # any exception takes it
        raise


def describe_part(part: Mapping) -> str:
    """Write a part of a config as a call, without what is built from configs of their own."""
    kind = part.get("type", "DataLoader")
    plain = [
        f"{key}={value!r}"
        for key, value in part.items()
        if key not in ("type", "_scope_") and isinstance(value, PLAIN)
        if not isinstance(value, list | tuple)
        or not any(isinstance(item, Mapping) for item in value)
    ]
    name = kind if isinstance(kind, str) else kind.__name__
    return f"{name}({', '.join(plain)})" if plain else name


def _named(build: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(build)
    def build_named(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        with naming(cfg):
            return build(cfg, *args, **kwargs)

    return build_named


# The Runner builds with the roots; their children take over `build_func`.
ROOTS = [value for value in vars(root).values() if isinstance(value, Registry)]
for _root in ROOTS:
    _root.build_func = _named(_root.build_func)


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    places = [f"dbnet.{location}" for location in locations]
    return Registry(name, parent=parent, scope="dbnet", locations=places)


MODELS = _child("model", root.MODELS, "models")
DATASETS = _child(
    "dataset",
    root.DATASETS,
    "datasets.collate",  # a function that loaders name
    "datasets.text_det_dataset",
    "datasets.concat_dataset",
    "datasets.synthetic_text_dataset",
)
DATA_SAMPLERS = _child("data sampler", root.DATA_SAMPLERS, "datasets.samplers")
TRANSFORMS = _child("transform", root.TRANSFORMS, "datasets.transforms")
METRICS = _child("metric", root.METRICS, "evaluation.metrics")
HOOKS = _child(
    "hook",
    root.HOOKS,
    "engine.hooks",
    "engine.checkpoint_hook",
    "engine.device_data_hook",
    "engine.loss_hooks",
    "engine.nothing_to_learn_hook",
    "engine.show_predictions_hook",
)
LOOPS = _child("loop", root.LOOPS, "engine.loops", "engine.evaluation_loops")
OPTIM_WRAPPERS = _child("optim_wrapper", root.OPTIM_WRAPPERS, "engine.optim_wrapper")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", root.OPTIM_WRAPPER_CONSTRUCTORS, "engine.depth_decay"
)

# The Runner looks functions up in the root alone, whatever the scope.
FUNCTIONS = root.FUNCTIONS

# Without a part of ours so far. mmengine warns of every tree that does not know the scope.
for _root in ROOTS:
    if "dbnet" not in _root.children and _root is not FUNCTIONS:
        _child(_root.name, _root)
