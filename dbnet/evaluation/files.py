"""Ground truth and predictions in files: read them, pair them by image and evaluate."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple, TypeVar

import numpy as np

from dbnet.datasets.annotations import Annotations
from dbnet.errors import UserError
from dbnet.evaluation.counts import count_images, join_overlaps, measure_image, metrics_of
from dbnet.evaluation.protocols.scene import Scene
from dbnet.evaluation.results import read_images
from dbnet.evaluation.submission import (
    MAX_COORDINATE,
    PREFIX,
    parse_submission,
    stem_of,
    to_submission_quads,
)
from dbnet.labels.entries import Instance
from dbnet.labels.text_formats import parser_of
from dbnet.remote.paths import shown
from dbnet.utils.files import is_visible, opened_zip, refuse_special
from dbnet.utils.text import natural_key

T = TypeVar("T")


class GroundTruth(NamedTuple):
    """The texts of one image: polygons, each (K, 2) float32 in pixels, and whether they count.

    `num_chars` are the lengths of their transcriptions, -1 without one; empty if none has any.
    """

    polygons: list[np.ndarray]
    ignored: list[bool]
    num_chars: Sequence[int] = ()


class Prediction(NamedTuple):
    """The predictions in one image: polygons, as above, and scores (M,) float32 or None."""

    polygons: list[np.ndarray]
    scores: np.ndarray | None


def read_ground_truth(path: Path) -> dict[str, GroundTruth]:
    """Read the ground truth of a dataset, by the images' stems.

    It is an annotation file (.json), or a zip or folder of `gt_img_N.txt`, whose lines are boxes or
    polygons as `dbnet prepare icdar_folder` reads them. What is no .txt in there is passed over.
    """
    if _is_json(path):
        return _by_key(path, _read_annotation(path), stem_of)
    texts = _read_files(path, lambda name: name.lower().endswith(".txt"))
    parse = parser_of((text, f"{path}: {name}") for name, text in texts)
    parsed = ((name, parse(text, f"{path}: {name}")) for name, text in texts)
    truths = ((name, _ground_truth(words)) for name, words in parsed)
    return _by_key(path, truths, lambda name: stem_of(name, "gt_"))


def _ground_truth(words: Sequence[Instance]) -> GroundTruth:
    polygons = [word.polygon.astype(np.float32) for word in words]
    return GroundTruth(polygons, [word.ignored for word in words], [len(w.text) for w in words])


def read_predictions(path: Path) -> dict[str, Prediction]:
    """Read the predictions for a dataset, by the images' stems.

    They are a `results.json`, or a zip or folder of `res_img_N.txt`. Anything else in there is an
    error, as for the competition's server.
    """
    if _is_json(path):
        return _by_key(path, _read_results(path), stem_of)
    texts = _read_files(path, lambda name: True)
    strange = [name for name, _ in texts if not name.lower().endswith(".txt")]
    if strange:
        raise UserError(
            f"{path}: {strange[0]} is no {PREFIX}*.txt, a submission holds nothing else"
        )
    parsed = ((name, parse_submission(text, f"{path}: {name}")) for name, text in texts)
    predictions = ((name, Prediction(quads, None)) for name, quads in parsed)
    return _by_key(path, predictions, lambda name: stem_of(name, PREFIX))


def read_both(
    gt_path: Path, pred_path: Path
) -> tuple[dict[str, GroundTruth], dict[str, Prediction]]:
    """Read the ground truth of a dataset and the predictions for it, by the images' stems.

    Where both are JSON files and images in several folders have one stem, they go by the end of
    their paths, with as many folders as it takes to tell the images of the ground truth apart.
    """
    if not (_is_json(gt_path) and _is_json(pred_path)):
        return read_ground_truth(gt_path), read_predictions(pred_path)
    truths = _read_annotation(gt_path)
    key = _distinct_key([name for name, _ in truths])
    return _by_key(gt_path, truths, key), _by_key(pred_path, _read_results(pred_path), key)


def round_predictions(predictions: Mapping[str, Prediction]) -> dict[str, Prediction]:
    """Turn predictions into what their submission would hold."""
    return {
        stem: Prediction(to_submission_quads(prediction.polygons), None)
        for stem, prediction in predictions.items()
    }


def evaluate_predictions(
    truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]
) -> dict[str, float]:
    """Compute the metrics of `HmeanIOUMetric`, with its keys such as `icdar/hmean`.

    An image without predictions counts as empty.
    """
    metrics = metrics_of(count_predictions(truths, predictions).sum(axis=0))
    return {f"icdar/{name}": float(value) for name, value in metrics.items()}


def count_predictions(
    truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]
) -> np.ndarray:
    """Count matches per image in the order of `truths`, see `count_images`."""
    unknown = predictions.keys() - truths.keys()
    if unknown:
        raise ValueError(f"predictions for images without ground truth: {sorted(unknown)}")
    pairs = paired(truths, predictions)
    return count_images(join_overlaps([measure_image(t.polygons, t.ignored, *p) for t, p in pairs]))


def make_scenes(
    truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]
) -> list[Scene]:
    """Put texts and predictions of every image together, in the order of `truths`."""
    pairs = paired(truths, predictions)
    return [Scene(t.polygons, t.ignored, p.polygons, t.num_chars) for t, p in pairs]


def paired(
    truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]
) -> list[tuple[GroundTruth, Prediction]]:
    """Pair each truth with its prediction, which may be one of nothing."""
    nothing = Prediction([], np.zeros(0, np.float32))
    return [(truth, predictions.get(stem, nothing)) for stem, truth in truths.items()]


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _by_key(
    path: Path, items: Iterable[tuple[str, T]], key_of: Callable[[str], str]
) -> dict[str, T]:
    """Index (name, item) pairs by the key of the image; two of one image are an error."""
    names: dict[str, str] = {}
    found: dict[str, T] = {}
    for name, item in items:
        key = key_of(name)
        if key in found:
            raise UserError(f"{path}: {names[key]} and {name} are both of {key}, remove one")
        names[key], found[key] = name, item
    return found


def _distinct_key(paths: Sequence[str]) -> Callable[[str], str]:
    """Choose what images go by: their stem, or the shortest end of a path that none shares."""
    most = max((len(_parts(path)) for path in paths), default=0)
    keys: list[Callable[[str], str]] = [stem_of]
    keys += [lambda path, n=n: "/".join(_parts(path)[-n:]) for n in range(1, most + 1)]  # type: ignore[misc]
    distinct = (key for key in keys if len(set(map(key, paths))) == len(paths))
    return next(distinct, stem_of)


def _parts(path: str) -> tuple[str, ...]:
    return PureWindowsPath(os.path.abspath(path)).parts  # knows both slashes, on any system


def _read_annotation(path: Path) -> list[tuple[str, GroundTruth]]:
    """Read an annotation file into pairs of image path and ground truth."""
    try:
        refuse_special(path)
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    annotations = Annotations.read(path)
    entries = [annotations[item] for item in range(len(annotations))]
    return [(shown(e.pop("img_path")), GroundTruth(**e)) for e in entries]


def _read_files(path: Path, wanted: Callable[[str], bool]) -> list[tuple[str, bytes]]:
    """Read the wanted files of a zip or folder, as pairs of name and content in natural order."""
    try:
        refuse_special(path)
        if path.is_dir():
            files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
            contents = [
                (name, files[name].read_bytes()) for name in _visible(files) if wanted(name)
            ]
        elif path.suffix.lower() == ".zip":
            contents = _read_zip(path, wanted)
        else:
            path.open("rb").close()  # that it is missing comes first
            raise UserError(f"{path}: expected a .json, a .zip or a folder")
    except OSError as error:
        raise UserError(f"{error.filename or path}: {error.strerror or error}") from error
    if not contents:
        raise UserError(f"{path}: no .txt files in there")
    return contents


def _read_zip(path: Path, wanted: Callable[[str], bool]) -> list[tuple[str, bytes]]:
    with opened_zip(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        names = _visible(info.filename for info in members)
        by_name = {info.filename: info for info in members}
        if len(by_name) < len(members):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"{path}: {twice} is in there twice, remove one")
        return [(name, archive.read(by_name[name])) for name in names if wanted(name)]


def _visible(names: Iterable[str]) -> list[str]:
    """Sort names, without the hidden files and `__MACOSX` that file managers add."""
    return sorted((n for n in names if is_visible(PureWindowsPath(n))), key=natural_key)


def _read_results(path: Path) -> list[tuple[str, Prediction]]:
    """Read a `results.json` into pairs of image path and predictions."""
    return [_parse_image(path, index, image) for index, image in enumerate(read_images(path))]


def _parse_image(path: Path, index: int, image: dict) -> tuple[str, Prediction]:
    try:
        with np.errstate(over="ignore"):  # too large for float32 is infinite, which is caught below
            polygons = [np.asarray(p, np.float32).reshape(-1, 2) for p in image["polygons"]]
            scores = image.get("scores")
            scores = None if scores is None else np.asarray(scores, np.float32)
        # Not finite is not below either.
        if not all(len(p) and (np.abs(p) <= MAX_COORDINATE).all() for p in polygons):
            raise ValueError(f"a polygon is empty or exceeds {MAX_COORDINATE}")
        if scores is not None and scores.shape != (len(polygons),):
            raise ValueError(f"{len(polygons)} polygons, but scores of shape {scores.shape}")
        if scores is not None and not np.isfinite(scores).all():
            raise ValueError("a score is not finite")
        return str(image["img_path"]), Prediction(polygons, scores)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: images[{index}]: {reason}") from None
