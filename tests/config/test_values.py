# ruff: noqa: UP007, UP045 (as libraries write their annotations)
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import pytest
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from dbnet.config.values import annotations, describe, fits


@pytest.mark.parametrize(
    ("annotation", "fitting", "others"),
    [
        (int, [3, True, 3.0], ["3", 2.5, [3], {}]),
        (float, [3, 0.5, True], ["high", [0.5], {}]),
        (bool, [True, 1], ["yes", [True], {}]),
        (str, ["x", ""], [3, True, ["x"], {}]),
        (int | None, [None, 3], ["3"]),
        (Optional[float], [None, 3], ["3"]),
        (Union[float, Tensor], [0.1], ["abc"]),
        (tuple[int, int], [(640, 640), [640, 640]], [640, (640,), [640, 640, 3], "640", ["a", 1]]),
        (Sequence[float], [[], [1, 2.5], (1,)], [0, "abc", ["a"]]),
        (tuple[int, ...], [[], [1, 2, 3]], [1, [0.5]]),
        (list, [[1, "a"]], [1, "a"]),
        (int | Sequence[int] | None, [5, [0, 3], None], ["abc", [0.5]]),
        (Sequence[dict | Callable], [[{}], []], [5, "abc"]),
        (dict, [{}], [3, "a", []]),
        # not clear
        (Any, [3, "a", [], {}], []),
        (Path, [3, "a", [], {}], []),
        (Union[DataLoader, dict], [3, {}], []),
    ],
)
def test_values_of_another_kind_do_not_fit(
    annotation: Any, fitting: list[Any], others: list[Any]
) -> None:
    for value in (*fitting, None, object()):
        assert fits(value, annotation), value
    for value in others:
        assert not fits(value, annotation), value


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (float | None, "a number"),
        (tuple[int, int], "[whole number, whole number]"),
        (tuple[str, ...], "[text, ...]"),
        (Union[int, Sequence[int]], "a whole number or [whole number, ...]"),
        (Union[float, Tensor], "a number"),
        (bool | dict, "True or False or a dict"),
        (list, "a list"),
        (Path, "Path"),
    ],
)
def test_annotations_in_words(annotation: Any, words: str) -> None:
    assert describe(annotation) == words


def test_an_annotation_that_cannot_be_resolved_is_left_out() -> None:
    def function(a: int, b: "nowhere.Thing", c: "int | None") -> None: ...  # type: ignore # noqa: F821

    assert annotations(function) == {"a": int, "c": int | None, "return": type(None)}


def test_torchs_annotations_are_read() -> None:
    assert not fits("abc", annotations(SGD.__init__)["lr"])
    assert not fits("abc", annotations(DataLoader.__init__)["batch_size"])
