"""Change single values of a config tree; every function returns a changed copy."""

import re
from collections.abc import Iterator
from typing import Any

from dbnet.config.check import LOADERS, RUNNER_KEYS, find_target, join, known_paths, nearest, walk
from dbnet.errors import UserError

RESIZES = ("Resize", "LimitedResize")  # whose `scale` --test-size sets


def override(settings: dict, helpers: dict, options: dict) -> dict:
    """Set `options`, values by dotted path, each of which must have a meaning.

    Args:
        settings: What `Runner` reads.
        helpers: The other variables of the config files. Changing one would have no effect.
        options: Values by dotted path; a dict is merged, as MMEngine does.
    """
    changed = settings
    # `_delete_` empties its dict before other options fill it.
    flat = sorted(_flatten(options), key=lambda option: option[1] != {})
    for path, value in flat:
        if path.split(".")[0] in helpers:
            raise UserError(f"--cfg-options {path}: {_helper_mistake(path, helpers, settings)}")
        if not _is_reachable(changed, path):
            raise _unknown(path, changed, settings)
        changed = _with_value(changed, path.split("."), value)
    for path, _ in flat:
        if not _exists(settings, path) and not _is_argument(changed, path):
            raise _unknown(path, changed, settings)
    return changed


def set_data_root(settings: dict, data_root: str) -> dict:
    """Set `data_root` of the dataset of every loader, and of those that it wraps."""
    paths = [
        join(path, "data_root")
        for loader in LOADERS
        for path, node in walk(settings.get(loader), loader)
        if re.fullmatch(r"\w+(\.dataset|\.datasets\.\d+)+", path) and isinstance(node, dict)
        if "data_root" in node or _names_argument(settings, path, node, "data_root")
    ]
    if not paths:
        raise UserError("--data-root: no dataset of the config has a data_root")
    for loader in LOADERS:
        own = [path for path in paths if path.startswith(f"{loader}.dataset.datasets.")]
        found = [_descend(settings, path) for path in own]
        roots = {str(value) for value, missing in found if not missing}
        if len(roots) > 1:
            raise UserError(
                f"--data-root: {loader} has datasets in {len(roots)} folders; give each its own, "
                f"--cfg-options {own[0]}=DIR ..."
            )
    return _with_values(settings, paths, data_root)


def set_test_size(settings: dict, size: tuple[int, int]) -> dict:
    """Set the `scale` (W, H) of every resize that validation and test images pass."""
    paths = [
        join(path, "scale")
        for loader in ("val_dataloader", "test_dataloader")
        for path, node in walk(settings.get(loader), loader)
        if isinstance(node, dict) and str(node.get("type")).split(".")[-1] in RESIZES
    ]
    if not paths:
        raise UserError("--test-size: no val or test pipeline of the config has a Resize")
    return _with_values(settings, paths, size)


def _flatten(options: dict, path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        inner = join(path, key)
        if isinstance(value, dict) and value:
            yield from _flatten(value, inner)
        elif inner.endswith("._delete_"):
            yield inner.removesuffix("._delete_"), {}
        else:
            yield inner, value


def _with_value(node: Any, keys: list[str], value: Any) -> Any:
    """Copy a config tree with `value` under `keys`; what `node` shares with others stays as is."""
    key: Any = int(keys[0]) if isinstance(node, list) else keys[0]
    changed = node.copy()
    if len(keys) == 1:
        old = node[key] if isinstance(node, list) else node.get(key)
        # The command line knows lists only, and some parts insist on a tuple.
        is_tuple = isinstance(old, tuple) and isinstance(value, list)
        changed[key] = tuple(value) if is_tuple else value
    else:
        inner = node[key] if isinstance(node, list) else node.get(key)
        changed[key] = _with_value({} if inner is None else inner, keys[1:], value)
    return changed


def _with_values(settings: dict, paths: list[str], value: Any) -> dict:
    for path in paths:
        settings = _with_value(settings, path.split("."), value)
    return settings


def _descend(node: Any, path: str) -> tuple[Any, list[str]]:
    """Follow `path` as far as it exists; return the value there and the keys that are left."""
    keys = path.split(".") if path else []
    for i, key in enumerate(keys):
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return node, keys[i:]
    return node, []


def _exists(settings: dict, path: str) -> bool:
    return not _descend(settings, path)[1]


def _is_reachable(settings: dict, path: str) -> bool:
    """Whether `path` exists or can be made by adding dicts to a dict, or in place of None."""
    node, missing = _descend(settings, path)
    can_grow = isinstance(node, dict | None)
    return not missing or (can_grow and not any(k.isdecimal() for k in missing))


def _is_argument(settings: dict, path: str) -> bool:
    parent, _, key = path.rpartition(".")
    if path.split(".")[0] not in RUNNER_KEYS or not parent:
        return path in RUNNER_KEYS
    target = find_target(parent, _descend(settings, parent)[0], settings["default_scope"])
    return target is not None and (target.parameters is None or key in target.parameters)


def _names_argument(settings: dict, path: str, node: dict, key: str) -> bool:
    target = find_target(path, node, settings["default_scope"])
    return key in ((target and target.parameters) or ())


def _unknown(path: str, changed: dict, settings: dict) -> UserError:
    known = set(known_paths(changed, changed["default_scope"]))
    # less what the mistaken option itself has made
    made = {k for k in known if f"{path}.".startswith(f"{k}.") or k.startswith(f"{path}.")}
    known = {k for k in known if _exists(settings, k) or k not in made}
    last = path.split(".")[-1]
    # A key of this very name is more likely meant than a path that looks alike.
    same = {k for k in known if k.split(".")[-1] == last and not last.isdecimal()}
    return UserError(f"--cfg-options {path}: no such key{nearest(path, same or known)}")


def _helper_mistake(path: str, helpers: dict, settings: dict) -> str:
    """Explain that `path` is a helper variable and list the keys it was copied to.

    A copy is recognised by its value.
    """
    keys = path.split(".")
    for depth in range(1, len(keys) + 1):
        value, missing = _descend(helpers, ".".join(keys[:depth]))
        if missing or (depth > 1 and not isinstance(value, dict | list)):
            break
        copies = [copy for copy, node in walk(settings) if copy and _is_copy(node, value)]
        if copies:
            places = ", ".join(".".join([copy, *keys[depth:]]) for copy in copies)
            return f"{keys[0]} is a helper variable and has already been copied; override {places}"
    return f"has no effect, because {keys[0]} is a helper variable of the config files"


def _is_copy(node: Any, value: Any) -> bool:
    if not value or isinstance(value, bool):
        return False
    if isinstance(value, dict) and isinstance(node, dict):  # `dict(helper, key=...)` as well
        return all(key in node and node[key] == item for key, item in value.items())
    return type(node) is type(value) and node == value
