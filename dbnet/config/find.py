"""Configs by their names. Nothing here is slow to import."""

import difflib
from pathlib import Path

from dbnet.checkpoints.index import config_folder, find_model
from dbnet.checkpoints.model_folder import CONFIG, file_of, is_model_folder
from dbnet.errors import UserError


def find_config(name_or_path: str) -> Path:
    """Find a config by its path, by its model's folder or, below the project's configs, by name.

    Files in a folder `_base_` are parts of configs and have no name. The names that configs have in
    MMOCR, and the aliases of its released models, name ours too.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if is_model_folder(name_or_path):
        return file_of(name_or_path, CONFIG)
    folder = config_folder()
    files = sorted(folder.rglob("[!_]*.py"))
    known = {file.stem: file for file in files if "_base_" not in file.relative_to(folder).parts}
    name = name_or_path.removesuffix(".py")
    if path.exists() and not path.is_dir():
        raise UserError(f"{name_or_path}: is a FIFO or device; a config is a .py file")
    if name not in known and (model := find_model(name)) is not None:
        return model.config
    if name not in known:
        matches = difflib.get_close_matches(path.name.removesuffix(".py"), known, n=3, cutoff=0)
        raise UserError(
            f"{name_or_path}: no such file, and no config of this name below {folder}"
            + (f"; nearest: {', '.join(matches)}" if matches else "")
        )
    return known[name]
