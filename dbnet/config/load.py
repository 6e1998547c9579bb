"""Load configs strictly: what MMEngine would silently ignore is an error of one line."""

import ast
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine import Config
from mmengine.utils import import_modules_from_strings

from dbnet.checkpoints.model_folder import read_data
from dbnet.config.check import RUNNER_KEYS, mistakes, nearest, walk
from dbnet.config.find import find_config
from dbnet.config.override import override, set_data_root, set_test_size
from dbnet.errors import UserError
from dbnet.remote.paths import shown


def load_config(
    name_or_path: str,
    cfg_options: dict | None = None,
    data_root: str | None = None,
    test_size: tuple[int, int] | None = None,
    parts: Sequence[str] = ("",),
) -> Config:
    """Load a config, check every key of it, and apply the overrides of the command line.

    The result holds what MMEngine's `Runner` reads. Helper variables, which have been copied where
    they are needed, are left out; so the file that `Runner` dumps loads again.

    Args:
        name_or_path: A file, or the name of one of the project's configs.
        cfg_options: Values by dotted path, as `mmengine.DictAction` gives them.
        data_root: The folder of all datasets.
        test_size: (W, H) that validation and test images are resized to, in pixels.
        parts: Patterns of the places whose classes and keys are checked; all if not given. To
            check what is not used may take long, as its classes are imported.
    """
    path = find_config(name_or_path)
    loaded = _of_data(path) if path.suffix == ".json" else _execute(path)
    tree = _without_delete(loaded.to_dict())
    settings = {key: value for key, value in tree.items() if key in RUNNER_KEYS}
    settings.setdefault("default_scope", "dbnet")
    _check(settings, f"{path}: ", parts)
    if cfg_options:
        helpers = {key: value for key, value in tree.items() if key not in RUNNER_KEYS}
        settings = override(settings, helpers, cfg_options)
        _check(settings, "--cfg-options ", parts)
    if data_root is not None:
        settings = set_data_root(settings, data_root)
    if test_size is not None:
        settings = set_test_size(settings, test_size)
    _refuse_secrets(settings)
    settings = _without_idle_persistence(settings)
    return Config(settings, loaded.text, loaded.filename, loaded.env_variables)


def _of_data(path: Path) -> Config:
    """Read the config of a model's folder; mmengine would execute bases, insert the environment."""
    tree = read_data(path)
    try:
        loaded = Config(tree, filename=str(path))
    except KeyError as error:  # of a key that mmengine keeps for itself
        raise UserError(f"{path}: {error.args[0]}") from None
    if unknown := sorted(set(tree) - RUNNER_KEYS):
        raise UserError(f"{path}: {unknown[0]}: unknown key{nearest(unknown[0], RUNNER_KEYS)}")
    return loaded


def _refuse_secrets(settings: dict) -> None:
    """Refuse what may be secret in the URLs of data, since logs show configs."""
    for path, value in walk(settings):
        is_place = path.endswith(("data_root", "ann_file")) and isinstance(value, str)
        if is_place and value != shown(value):
            raise UserError(
                f"{path}={shown(value)}: leave password and query out, which logs would show; "
                "docs/pictures.md says where credentials come from"
            )


def _parse_sources(path: Path, ancestors: tuple[Path, ...] = ()) -> dict[Path, ast.Module]:
    """Parse a config and the files of its `_base_`, the config itself first."""
    if path.suffix != ".py":
        raise UserError(f"{path}: a config is a .py file")
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: syntax error: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error
    sources = {path: module}
    for line, name in _base_names(path, module):
        base = Path(os.path.normpath(path.parent / name))
        if not base.is_file():
            raise UserError(f"{path}:{line}: _base_ {base}: no such file")
        if base in (*ancestors, path):
            raise UserError(f"{path}:{line}: _base_ {base}: leads back to itself")
        sources |= _parse_sources(base, (*ancestors, path))
    return sources


def _base_names(path: Path, module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every entry of `_base_`."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "_base_":
            value = statement.value
            for entry in value.elts if isinstance(value, ast.List) else [value]:
                if not isinstance(entry, ast.Constant) or not isinstance(entry.value, str):
                    raise UserError(f"{path}:{entry.lineno}: _base_ must be a list of file names")
                if "::" not in entry.value:  # `package::file` is left to MMEngine
                    yield entry.lineno, entry.value


def _execute(path: Path) -> Config:
    """Execute a config; `custom_imports` finds modules beside it, after all others."""
    if (place := str(path.parent.resolve())) not in sys.path:
        sys.path.append(place)
    sources = _parse_sources(path)
    try:
        loaded = Config.fromfile(str(path), import_custom_modules=False, lazy_import=False)
        _check_leaf(path, sources, set(loaded))
        return loaded
    except UserError:
        raise
    except Exception as error:  # whatever a config can raise is its author's mistake
        named = {os.path.abspath(source): source for source in sources}
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f"{named[f.filename]}:{f.lineno}" for f in frames if f.filename in named]
        message = "".join(traceback.format_exception_only(error))
        raise UserError(f"{lines[-1] if lines else path}: {_one_line(message)}") from error


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _check_leaf(path: Path, sources: dict[Path, ast.Module], config_keys: set[str]) -> None:
    """Refuse a top-level name of the config file itself that nothing will read."""
    bases = [name for file, module in sources.items() if file != path for name in _names(module)]
    base_names = {name.id for name in bases if isinstance(name.ctx, ast.Store)}
    names = list(_names(sources[path]))
    used = {name.id for name in names if isinstance(name.ctx, ast.Load)}
    for name in names:
        key = name.id
        # What is no key of the config belongs to a function or a comprehension.
        if isinstance(name.ctx, ast.Load) or key in RUNNER_KEYS or key not in config_keys:
            continue
        if key in base_names and key not in used:
            raise UserError(
                f"{path}:{name.lineno}: {key}: has no effect, because the _base_ file that defines "
                "it has already used it; set the keys that it was copied to"
            )
        if key not in base_names and not key.startswith("_"):
            raise UserError(
                f"{path}:{name.lineno}: {key}: unknown key{nearest(key, RUNNER_KEYS | base_names)}"
                " (the name of a helper variable starts with an underscore)"
            )


def _names(module: ast.Module) -> Iterator[ast.Name]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Name))


def _without_idle_persistence(settings: dict) -> dict:
    """Switch `persistent_workers` off where a loader has no workers; torch would refuse it."""
    idle = {
        key: {**value, "persistent_workers": False}
        for key, value in settings.items()
        if isinstance(value, dict)
        and value.get("persistent_workers")
        and not value.get("num_workers")
    }
    return {**settings, **idle}


def _without_delete(node: Any) -> Any:
    """Copy a config tree without `_delete_`, which MMEngine leaves where there is no base."""
    if isinstance(node, dict):
        return {key: _without_delete(value) for key, value in node.items() if key != "_delete_"}
    if isinstance(node, list | tuple):
        return type(node)(_without_delete(value) for value in node)
    return node


def _check(settings: dict, where: str, parts: Sequence[str]) -> None:
    """Import the user's own parts, and raise the first mistake, `where` in front of it."""
    custom = settings.get("custom_imports") or {}
    try:
        import_modules_from_strings(
            custom.get("imports"), custom.get("allow_failed_imports", False)
        )
    except ImportError as error:
        cause = _one_line(str(error.__context__))
        raise UserError(f"{where}custom_imports: {cause}") from error
    for place, node in walk(settings):
        if any(re.fullmatch(part, place) for part in parts):
            for mistake in mistakes(node, settings["default_scope"], place):
                raise UserError(where + mistake)
