"""Check config values against the annotations of the parameters they are passed to.

Only what is clearly of another kind is refused. Whole numbers count as numbers, lists as tuples; an
annotation that is no plain kind takes anything.
"""

import contextlib
import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from torch import Tensor

UNIONS = (Union, types.UnionType)
SEQUENCES = (list, tuple, Sequence)
MAPPINGS = (dict, Mapping)
WORDS = {bool: "True or False", float: "a number", int: "a whole number", str: "a text"}


@functools.cache
def annotations(function: Callable) -> dict[str, Any]:
    """Return the annotations of a function's parameters, but those that cannot be resolved."""
    resolved: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(function).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        with contextlib.suppress(Exception):  # whatever a foreign module's annotation raises
            resolved |= get_type_hints(alone, getattr(function, "__globals__", {}))
    return resolved


def fits(value: Any, annotation: Any) -> bool:
    """Check whether a value may be meant for a parameter; None and objects always may."""
    if not isinstance(value, bool | int | float | str | list | tuple | dict):
        return True
    kind = get_origin(annotation) or annotation
    if kind in UNIONS:
        return any(fits(value, option) for option in get_args(annotation))
    if kind in SEQUENCES:
        return isinstance(value, list | tuple) and _items_fit(value, annotation)
    if kind in MAPPINGS:
        return isinstance(value, dict)
    if kind is int:
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind is float:
        return isinstance(value, int | float)
    if kind in (bool, str):
        return isinstance(value, str) == (kind is str) and not isinstance(
            value, list | tuple | dict
        )
    return kind not in (types.NoneType, Tensor)


def _items_fit(items: Sequence, annotation: Any) -> bool:
    options = get_args(annotation)
    if len(options) == 1 or options[1:] == (...,):
        return all(fits(item, options[0]) for item in items)
    if not options or options == ((),):
        return True
    return len(items) == len(options) and all(map(fits, items, options))


def describe(annotation: Any) -> str:
    """Describe in words what a parameter takes: "a number", "[whole number, text] or a dict"."""
    options = get_args(annotation)
    kind = get_origin(annotation) or annotation
    if kind in UNIONS:
        named = [option for option in options if option not in (types.NoneType, Tensor)]
        return " or ".join(dict.fromkeys(map(describe, named)))
    if kind in SEQUENCES:
        items = [describe(option).removeprefix("a ") for option in options if option is not ...]
        ending = ", ..." if kind is not tuple or ... in options else ""
        return f"[{', '.join(items)}{ending}]" if items else "a list"
    if kind in MAPPINGS:
        return "a dict"
    return WORDS.get(kind, str(getattr(kind, "__name__", kind)))
