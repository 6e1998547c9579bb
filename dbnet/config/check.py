"""Hold a config against the classes and functions that MMEngine's `Runner` calls with it.

A config is a tree of dicts, lists and plain values. A place in it is written as a dotted path with
list indices, as `--cfg-options` does: `train_dataloader.dataset.pipeline.2.max_ratio`.
"""

import contextlib
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry, root
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    LogProcessor,
    Runner,
    TestLoop,
    ValLoop,
)
from mmengine.utils import import_modules_from_strings
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

import dbnet.registry  # noqa: F401  (makes the children of scope `dbnet`)
from dbnet.config.values import annotations, describe, fits

# The last line is what `Runner` looks up in `cfg` beside its arguments, and what `Config` reads.
RUNNER_KEYS = (frozenset(inspect.signature(Runner).parameters) - {"cfg"}) | {
    *("activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval"),
    *("find_unused_parameters", "model_wrapper_cfg", "sync_bn"),
}
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
REGISTRIES = [value for value in vars(root).values() if isinstance(value, Registry)]

# What a top-level dict without `type` is given to.
UNTYPED: dict[str, Callable] = {
    **dict.fromkeys(LOADERS, DataLoader),
    "custom_imports": import_modules_from_strings,
    "log_processor": LogProcessor,
    "optim_wrapper": OptimWrapper,
    "randomness": Runner.set_randomness,
    "test_cfg": TestLoop,
    "val_cfg": ValLoop,
}
# Where `**kwargs` go that a class keeps for later.
FORWARDED: dict[type, Callable] = {CheckpointHook: Runner.save_checkpoint}
# What is read from a dict before its class sees it, by a pattern of its path.
EXTRA_KEYS = {
    r"(default|custom)_hooks\.\w+": {"priority"},
    r"optim_wrapper": {"constructor", "paramwise_cfg"},
    r"param_scheduler(\..+)?": {"convert_to_iter_based"},
    r"(train|val|test)_dataloader": {"disable_subprocess_warning", "num_batch_per_epoch"},
    # by the parts of mmcv and mmdet
    r".+\.dcn": {"fallback_on_stride"},
    r".+\.norm_cfg": {"requires_grad"},
    r".+\.override": {"name"},
}
CLIPPING: dict[str, Callable] = {"norm": clip_grad_norm_, "value": clip_grad_value_}


class Target(NamedTuple):
    """What is called with a dict of the config, and with which keys; None takes any key."""

    name: str
    parameters: set[str] | None


# What mmengine's constructor of optimizers reads from dicts that nothing is built from, by a
# pattern of their path; another constructor may read other keys.
PARAMWISE = {
    r"optim_wrapper\.paramwise_cfg": Target(
        "DefaultOptimWrapperConstructor",
        {
            *("bias_lr_mult", "bias_decay_mult", "norm_decay_mult", "flat_decay_mult"),
            *("dwconv_decay_mult", "dcn_offset_lr_mult", "bypass_duplicate", "custom_keys"),
        },
    ),
    r"optim_wrapper\.paramwise_cfg\.custom_keys\..+": Target(
        "custom_keys",
        # the rest goes into the parameter group
        {"lr_mult", "decay_mult"}.union(*(inspect.signature(o).parameters for o in (SGD, AdamW)))
        - {"params"},
    ),
}


def constructor_parameters(cls: Callable) -> set[str] | None:
    """Name the arguments that a class or function takes, or return None if it takes any.

    `**kwargs` of a constructor stand for the arguments of the next constructor in the MRO; those
    that no constructor names may be anything.
    """
    if inspect.isclass(cls) and cls.__init__ is object.__init__:
        return set() if cls.__new__ is object.__new__ else None
    names: set[str] = set()
    for function in _constructors(cls):
        parameters = inspect.signature(function).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {"self"}
    return None


def _constructors(cls: Callable) -> list[Callable]:
    if not inspect.isclass(cls):
        return [cls]
    owners = [base for base in cls.__mro__ if base is not object and "__init__" in vars(base)]
    forwarded = [FORWARDED[base] for base in cls.__mro__ if base in FORWARDED]
    return [vars(base)["__init__"] for base in owners] + forwarded


def registered(name: str, scope: str) -> list[Callable]:
    """Find all that MMEngine's registries, seen from `scope`, hold under `name`."""
    found = [_lookup(registry.children.get(scope, registry), name) for registry in REGISTRIES]
    return [item for item in found if callable(item)]


def _lookup(registry: Registry, name: str) -> Any:
    if "." in name:
        with contextlib.suppress(RuntimeError):  # no package of this name
            return registry.get(name)
        return None
    # `Registry.get` would go on to import a module called `name`.
    registry.import_from_location()
    parent: Registry | None = registry
    while parent is not None and name not in parent.module_dict:
        parent = parent.parent
    return parent and parent.module_dict[name]


def _registered_names(scope: str) -> set[str]:
    seen = REGISTRIES + [registry.children.get(scope, registry) for registry in REGISTRIES]
    return {name for registry in seen for name in registry.module_dict}


def nearest(word: str, known: Iterable[str]) -> str:
    """Phrase the end of a message: the known word nearest to a mistaken one, if there is any."""
    matches = difflib.get_close_matches(word, sorted(set(known)), n=1, cutoff=0)
    return f"; nearest: {matches[0]}" if matches else ""


def join(path: str, key: str | int) -> str:
    """Extend a dotted path by one key or list index."""
    return f"{path}.{key}" if path else str(key)


def walk(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a config tree with its path, parents first."""
    yield path, node
    for key, value in _children(node):
        yield from walk(value, join(path, key))


def _children(node: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(node, dict):
        return node.items()
    return enumerate(node) if isinstance(node, list | tuple) else ()


def _untyped_target(path: str, node: dict) -> Callable | None:
    if path == "train_cfg":
        return EpochBasedTrainLoop if node.get("by_epoch", True) else IterBasedTrainLoop
    if path in ("val_evaluator", "test_evaluator") and "metrics" in node:
        return Evaluator
    if path == "optim_wrapper" and "optimizer" not in node:
        return None  # several optimizers, under names of the user's own
    return UNTYPED.get(path)


def _clipping(node: dict) -> Callable:
    """Find torch's function that clips gradients, of the two that `type` chooses from."""
    return CLIPPING.get(node.get("type", "norm"), clip_grad_norm_)


def _candidates(path: str, node: dict, scope: str) -> list[Callable]:
    if path == "optim_wrapper.clip_grad":
        return [_clipping(node)]
    kind = node["type"] if "type" in node else _untyped_target(path, node)
    if isinstance(kind, str):
        return registered(kind, scope)
    return [kind] if callable(kind) else []


def _extra_keys(path: str, node: dict) -> set[str]:
    if path == "train_cfg" and "type" not in node:
        return {"by_epoch"}
    patterns = [keys for pattern, keys in EXTRA_KEYS.items() if re.fullmatch(pattern, path)]
    return {"type", "_scope_"}.union(*patterns)


def _reader(path: str, node: dict) -> Target | None:
    """Find what reads a dict that nothing is built from, if its keys are known."""
    if path == "auto_scale_lr":
        return Target("Runner", {"base_batch_size", "enable"})
    if path == "optim_wrapper.clip_grad":
        function = _clipping(node)
        keys = set(inspect.signature(function).parameters) - {"parameters"}
        return Target(function.__name__, keys | {"type"})
    return next((PARAMWISE[p] for p in PARAMWISE if re.fullmatch(p, path)), None)


def find_target(path: str, node: dict, scope: str) -> Target | None:
    """Find what is called with the dict at `path`; None for a dict that is only data.

    A name that several registries hold takes the arguments of all its owners, an unknown one any.
    """
    if target := _reader(path, node):
        return target
    candidates = _candidates(path, node, scope)
    if not candidates:
        return Target(str(node["type"]), None) if "type" in node else None
    kind = node.get("type")
    name = kind if isinstance(kind, str) else getattr(candidates[0], "__name__", str(kind))
    parameters = [constructor_parameters(candidate) for candidate in candidates]
    named = [each for each in parameters if each is not None]
    if len(named) < len(parameters):
        return Target(name, None)
    return Target(name, _extra_keys(path, node).union(*named))


def known_paths(node: Any, scope: str, path: str = "") -> Iterator[str]:
    """Yield the path of everything below `path` that a config sets or could set."""
    if isinstance(node, tuple):
        return  # an item of a tuple cannot be set
    keys = {str(key) for key, _ in _children(node)}
    if isinstance(node, dict):
        target = find_target(path, node, scope)
        keys |= RUNNER_KEYS if not path else (target and target.parameters) or set()
    yield from (join(path, key) for key in keys)
    for key, value in _children(node):
        yield from known_paths(value, scope, join(path, key))


def mistakes(node: Any, scope: str, path: str = "") -> Iterator[str]:
    """Yield a line for every unknown type, and every key that its class does not take."""
    if isinstance(node, dict):
        scope = node.get("_scope_", scope)
        if "type" in node and (mistake := _type_mistake(path, node, scope)):
            yield f"{join(path, 'type')}: {mistake}"
        target = find_target(path, node, scope)
        if target and target.parameters is not None:
            for key in sorted(set(node) - target.parameters):
                known = nearest(key, target.parameters - {"type", "_scope_"})
                yield f"{join(path, key)}: {target.name} has no such argument{known}"
        yield from _value_mistakes(path, node, scope, target.name if target else "Runner")
    for key, value in _children(node):
        if join(path, key) != "optim_wrapper.paramwise_cfg" or "constructor" not in node:
            yield from mistakes(value, scope, join(path, key))


def _value_mistakes(path: str, node: dict, scope: str, name: str) -> Iterator[str]:
    """Yield a line for every value of a kind that none of its owners takes."""
    seed = node.get("seed") if path == "randomness" else None
    if seed is not None and not (isinstance(seed, int) and 0 <= seed < 1 << 32):
        yield f"{join(path, 'seed')}: must be a whole number from 0 to 2^32 - 1, got {seed!r}"
    owners = _candidates(path, node, scope) if path else [Runner]
    hints = [_parameter_annotations(owner) for owner in owners]
    for key, value in node.items():
        options = [hint.get(key, Any) for hint in hints]
        if options and not any(fits(value, option) for option in options):
            yield f"{join(path, key)}: {name} takes {describe(options[0])}, got {value!r}"


def _parameter_annotations(cls: Callable) -> dict[str, Any]:
    """Give the annotations of what `constructor_parameters` names."""
    return {
        key: hint
        for function in reversed(_constructors(cls))
        for key, hint in annotations(function).items()
    }


def _type_mistake(path: str, node: dict, scope: str) -> str | None:
    kind = node["type"]
    if path == "optim_wrapper.clip_grad":
        return None if kind in CLIPPING else f"must be one of {', '.join(CLIPPING)}, got {kind!r}"
    if _candidates(path, node, scope):
        return None
    known = nearest(str(kind).split(".")[-1], _registered_names(scope))
    return f"nothing is registered as {kind!r}{known}"
