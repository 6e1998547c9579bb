"""Check a config against the classes and functions that MMEngine's `Runner` calls with it.

A config is a tree of dicts, lists and plain values. A place in it is written as a dotted path with
list indices, as `--cfg-options` does: `train_dataloader.dataset.pipeline.2.max_ratio`. Foreign
classes are named here and imported when a config has a place for them: the `Runner` takes long.
"""

import contextlib
import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mmengine.registry import Registry

from dbnet.config.values import annotations, describe, fits
from dbnet.registry import ROOTS

# The arguments of `Runner`; in the last lines what it looks up in `cfg` beside them, and what
# `Config` reads.
RUNNER_KEYS = frozenset(
    {
        *("auto_scale_lr", "custom_hooks", "data_preprocessor", "default_hooks", "default_scope"),
        *("env_cfg", "experiment_name", "launcher", "load_from", "log_level", "log_processor"),
        *("model", "optim_wrapper", "param_scheduler", "randomness", "resume", "test_cfg"),
        *("test_dataloader", "test_evaluator", "train_cfg", "train_dataloader", "val_cfg"),
        *("val_dataloader", "val_evaluator", "visualizer", "work_dir"),
        *("activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval"),
        *("find_unused_parameters", "model_wrapper_cfg", "sync_bn"),
    }
)
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
# What a top-level dict without `type` is given to.
UNTYPED = {
    **dict.fromkeys(LOADERS, "torch.utils.data:DataLoader"),
    "custom_imports": "mmengine.utils:import_modules_from_strings",
    "log_processor": "mmengine.runner:LogProcessor",
    "optim_wrapper": "mmengine.optim:OptimWrapper",
    "randomness": "mmengine.runner:Runner.set_randomness",
    "test_cfg": "mmengine.runner:TestLoop",
    "val_cfg": "mmengine.runner:ValLoop",
}
CLIPPING = {"norm": "torch.nn.utils:clip_grad_norm_", "value": "torch.nn.utils:clip_grad_value_"}
# Where a part is looked for first, by a pattern of its path: importing all rooms takes long.
HOMES = {r"model(\.(?!init_cfg).+)?": "model", r".+\.pipeline\.\d+": "transform"}
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


class Target(NamedTuple):
    """The callable that a config dict is passed to, and its argument names (None: any)."""

    name: str
    parameters: set[str] | None


# What reads a dict that nothing is built from, by a pattern of its path. Another constructor of
# optimizers may read other keys.
READERS = {
    r"auto_scale_lr": Target("Runner", {"base_batch_size", "enable"}),
    r"optim_wrapper\.paramwise_cfg": Target(
        "DefaultOptimWrapperConstructor",
        {
            *("bias_lr_mult", "bias_decay_mult", "norm_decay_mult", "flat_decay_mult"),
            *("dwconv_decay_mult", "dcn_offset_lr_mult", "bypass_duplicate", "custom_keys"),
        },
    ),
}
CUSTOM_KEYS = r"optim_wrapper\.paramwise_cfg\.custom_keys\..+"  # the rest is for the optimizer


def parameters_of(name: str) -> set[str]:
    """Name the arguments of a function or class that is named as "package.module:name"."""
    return set(inspect.signature(pkgutil.resolve_name(name)).parameters)


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
    constructors = [vars(base)["__init__"] for base in owners]
    if any(base.__name__ == "CheckpointHook" for base in owners):  # keeps its kwargs for later
        constructors.append(pkgutil.resolve_name("mmengine.runner:Runner.save_checkpoint"))
    return constructors


def registered(name: str, scope: str, path: str = "") -> list[Callable]:
    """Find all that MMEngine's registries, seen from `scope`, hold under `name`."""
    homes = [home for pattern, home in HOMES.items() if re.fullmatch(pattern, path)]
    first = [registry for registry in ROOTS if registry.name in homes]
    for registries in (first, ROOTS):
        if registries is ROOTS:
            importlib.import_module("mmcv.cnn")  # registers its layers
        found = [_lookup(registry.children.get(scope, registry), name) for registry in registries]
        if any(found):
            break
    return [item for item in found if callable(item)]


def _lookup(registry: Registry, name: str) -> Any:
    if "." in name:
        with contextlib.suppress(RuntimeError):  # no package of this name
            return registry.get(name)
        return None
    # `Registry.get` would continue by importing a module called `name`.
    parent: Registry | None = registry
    while parent is not None:
        parent.import_from_location()
        if name in parent.module_dict:
            return parent.module_dict[name]
        parent = parent.parent
    return None


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
    for key, value in children(node):
        yield from walk(value, join(path, key))


def children(node: Any) -> Iterable[tuple[str | int, Any]]:
    """Return keys or indices with what a dict, list or tuple holds under them."""
    if isinstance(node, dict):
        return node.items()
    return enumerate(node) if isinstance(node, list | tuple) else ()


def _untyped_owner(path: str, node: dict) -> str | None:
    """Name what a dict without `type` is passed to."""
    if path == "train_cfg":
        return f"mmengine.runner:{'Epoch' if node.get('by_epoch', True) else 'Iter'}BasedTrainLoop"
    if path in ("val_evaluator", "test_evaluator") and "metrics" in node:
        return "mmengine.evaluator:Evaluator"
    if path == "optim_wrapper" and "optimizer" not in node:
        return None  # several optimizers, under names of the user's own
    return UNTYPED.get(path)


def owners_of(path: str, node: dict, scope: str) -> list[Callable]:
    """Find the classes or functions that the dict at `path` may be passed to."""
    if not path:
        return [pkgutil.resolve_name("mmengine.runner:Runner")]
    if path == "optim_wrapper.clip_grad":
        return [pkgutil.resolve_name(CLIPPING.get(node.get("type", "norm"), CLIPPING["norm"]))]
    if "type" not in node:
        owner = _untyped_owner(path, node)
        return [pkgutil.resolve_name(owner)] if owner else []
    kind = node["type"]
    if isinstance(kind, str):
        return registered(kind, scope, path)
    return [kind] if callable(kind) else []


def find_target(path: str, node: dict, scope: str) -> Target | None:
    """Find what is called with the dict at `path`; None for a dict that is only data.

    A name that several registries hold takes the arguments of all its owners, an unknown one any.
    """
    if re.fullmatch(CUSTOM_KEYS, path):
        optimizers = parameters_of("torch.optim:SGD") | parameters_of("torch.optim:AdamW")
        return Target("custom_keys", {"lr_mult", "decay_mult"} | optimizers - {"params"})
    if reader := next((READERS[p] for p in READERS if re.fullmatch(p, path)), None):
        return reader
    owners = owners_of(path, node, scope)
    kind = node.get("type")
    if not owners:
        return Target(str(kind), None) if "type" in node else None
    if path == "optim_wrapper.clip_grad":
        own = constructor_parameters(owners[0]) or set()
        return Target(getattr(owners[0], "__name__", ""), own - {"parameters"} | {"type"})
    name = kind if isinstance(kind, str) else getattr(owners[0], "__name__", str(kind))
    parameters = [constructor_parameters(owner) for owner in owners]
    named = [each for each in parameters if each is not None]
    if len(named) < len(parameters):
        return Target(name, None)
    extra = [keys for pattern, keys in EXTRA_KEYS.items() if re.fullmatch(pattern, path)]
    by_epoch = {"by_epoch"} if path == "train_cfg" and "type" not in node else {"type", "_scope_"}
    return Target(name, by_epoch.union(*extra, *named))


def known_paths(node: Any, scope: str, path: str = "") -> Iterator[str]:
    """Yield the path of everything below `path` that a config sets or could set."""
    if isinstance(node, tuple):
        return  # an item of a tuple cannot be set
    keys = {str(key) for key, _ in children(node)}
    if isinstance(node, dict):
        target = find_target(path, node, scope) if path else Target("Runner", set(RUNNER_KEYS))
        keys |= (target and target.parameters) or set()
    yield from (join(path, key) for key in keys)
    for key, value in children(node):
        yield from known_paths(value, scope, join(path, key))


def mistakes(node: Any, scope: str, path: str = "") -> Iterator[str]:
    """Yield a line for every unknown type, and every key that its class does not take."""
    if isinstance(node, dict):
        scope = node.get("_scope_", scope)
        if "type" in node and (mistake := _type_mistake(path, node, scope)):
            yield f"{join(path, 'type')}: {mistake}"
        yield from _key_mistakes(path, node, scope)
    for key, value in children(node):
        if join(path, key) != "optim_wrapper.paramwise_cfg" or "constructor" not in node:
            yield from mistakes(value, scope, join(path, key))


def _key_mistakes(path: str, node: dict, scope: str) -> Iterator[str]:
    """Yield a line for every unknown key, and every value of a kind that no owner takes."""
    target = find_target(path, node, scope) if path else Target("Runner", None)
    if target and target.parameters is not None:
        for key in sorted(set(node) - target.parameters):
            known = nearest(key, target.parameters - {"type", "_scope_"})
            yield f"{join(path, key)}: {target.name} has no such argument{known}"
    seed = node.get("seed") if path == "randomness" else None
    if seed is not None and not (isinstance(seed, int) and 0 <= seed < 1 << 32):
        yield f"{join(path, 'seed')}: must be a whole number from 0 to 2^32 - 1, got {seed!r}"
    owners = owners_of(path, node, scope)
    yield from value_mistakes(path, node, owners, target.name if target else "")


def value_mistakes(path: str, node: dict, owners: Iterable[Callable], name: str) -> Iterator[str]:
    """Yield a line for every value of a kind that none of its owners takes."""
    hints = [_parameter_annotations(owner) for owner in owners]
    for key, value in node.items():
        options = [hint.get(key, Any) for hint in hints]
        if options and not any(fits(value, option) for option in options):
            yield f"{join(path, key)}: {name} takes {describe(options[0])}, got {value!r}"


def _parameter_annotations(cls: Callable) -> dict[str, Any]:
    """Return the annotations of what `constructor_parameters` names."""
    return {
        key: hint
        for function in reversed(_constructors(cls))
        for key, hint in annotations(function).items()
    }


def _type_mistake(path: str, node: dict, scope: str) -> str | None:
    kind = node["type"]
    if path == "optim_wrapper.clip_grad":
        return None if kind in CLIPPING else f"must be one of {', '.join(CLIPPING)}, got {kind!r}"
    if owners_of(path, node, scope):
        return None
    seen = ROOTS + [registry.children.get(scope, registry) for registry in ROOTS]
    names = {name for registry in seen for name in registry.module_dict}
    return f"nothing is registered as {kind!r}{nearest(str(kind).split('.')[-1], names)}"
