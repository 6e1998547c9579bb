"""Things in a scene that are no text but have strokes, edges and repetition like it."""

import cv2
import numpy as np

from dbnet.synthetic.painting import random_color

Color = tuple[float, float, float]


def add_distractors(rng: np.random.Generator, image: np.ndarray, difficulty: float) -> None:
    """Draw some on a BGR image, in place: up to 2 at difficulty 0, up to 12 at 1."""
    side = min(image.shape[:2])
    for _ in range(rng.integers(0, 3 + int(10 * difficulty))):
        kind = KINDS[rng.integers(len(KINDS))]
        size = side * np.exp(rng.uniform(np.log(0.06), np.log(0.4)))
        center = rng.uniform(0, 1, 2) * image.shape[1::-1]
        kind(rng, image, center, max(size, 4.0))


def _color(rng: np.random.Generator) -> Color:
    painted = bool(rng.random() < 0.4)
    b, g, r = random_color(rng, rng.uniform(15, 225), rng.random() ** 1.5, painted).tolist()
    return b, g, r


def _point(point: np.ndarray) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _turned(rng: np.random.Generator, points: np.ndarray, center: np.ndarray) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.rint(points @ turn.T + center).astype(np.int32)


def _cables(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a bundle of long lines, like wires or poles."""
    angle = rng.choice((0, np.pi / 2)) + rng.normal(0, 0.3)
    along = np.array([np.cos(angle), np.sin(angle)]) * 2 * max(image.shape)
    color, thickness = _color(rng), int(rng.integers(1, 2 + int(size / 8)))
    for shift in rng.uniform(-size, size, (rng.integers(1, 4), 2)):
        a, b = _point(center + shift - along), _point(center + shift + along)
        cv2.line(image, a, b, color, thickness, cv2.LINE_AA)


def _grid(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a fence or a window's bars."""
    color, steps = _color(rng), np.linspace(-1, 1, int(rng.integers(3, 9)))
    reach = size * rng.uniform(0.5, 1.2, size=2)
    lines = [((s, -1), (s, 1)) for s in steps]
    lines += [((-1, s), (1, s)) for s in steps[:: int(rng.integers(1, 3))]]
    points = _turned(rng, np.array(lines).reshape(-1, 2) * reach, center).reshape(-1, 2, 1, 2)
    cv2.polylines(image, list(points), False, color, int(rng.integers(1, 3)), cv2.LINE_AA)


def _blob(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a patch of paint, a stone or a cloud."""
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    radii = size * rng.uniform(0.4, 1.0, 14)[:, None]
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii + center
    cv2.fillPoly(image, [np.rint(points).astype(np.int32)], _color(rng), cv2.LINE_AA)


def _leaves(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a twig's leaves."""
    for offset in rng.normal(0, size / 2, (rng.integers(6, 20), 2)):
        green = (rng.uniform(10, 70), rng.uniform(50, 160), rng.uniform(20, 110))
        axes = (max(2, int(size / 6)), max(1, int(size / 14)))
        turn = rng.uniform(0, 180)
        cv2.ellipse(image, _point(center + offset), axes, turn, 0, 360, green, -1, cv2.LINE_AA)


def _arrow(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw an arrow, as on signs and roads."""
    points = np.array([[-9, -2], [2, -2], [2, -6], [9, 0], [2, 6], [2, 2], [-9, 2]]) / 12.0
    cv2.fillPoly(image, [_turned(rng, points * size, center)], _color(rng), cv2.LINE_AA)


def _stripes(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw bars side by side: a crossing, a bar code, a railing."""
    count, height = int(rng.integers(4, 16)), rng.uniform(0.2, 1.0)
    edges = np.sort(rng.uniform(-1, 1, 2 * count)) if rng.random() < 0.5 else None
    if edges is None:
        edges = np.linspace(-1, 1, 2 * count)
    bars = [[(a, -height), (b, -height), (b, height), (a, height)] for a, b in edges.reshape(-1, 2)]
    points = _turned(rng, np.array(bars).reshape(-1, 2) * size, center).reshape(count, 4, 2)
    cv2.fillPoly(image, list(points), _color(rng), cv2.LINE_AA)


def _rings(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw circles: wheels, lamps, round signs."""
    color, spread = _color(rng), rng.choice((0.0, size))
    for _ in range(rng.integers(1, 5)):
        at, radius = (
            _point(center + rng.normal(0, spread, 2)),
            1 + int(size * rng.uniform(0.1, 0.7)),
        )
        thickness = -1 if rng.random() < 0.4 else int(rng.integers(1, 3 + radius // 6))
        cv2.circle(image, at, radius, color, thickness, cv2.LINE_AA)


def _pane(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a quadrangle with a rim: an empty board, a door, a screen."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size * rng.uniform(0.3, 1.2, 2)
    corners = corners * rng.uniform(0.85, 1.15, (4, 2)) + center
    points = np.rint(corners).astype(np.int32)
    cv2.fillConvexPoly(image, points, _color(rng), cv2.LINE_AA)
    thickness = int(rng.integers(1, 3 + int(size / 20)))
    cv2.polylines(image, [points], True, _color(rng), thickness, cv2.LINE_AA)


def _zigzag(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Draw a jagged line of strokes: a crack, a graffito without letters, a mountain's edge."""
    xs = np.linspace(-1, 1, int(rng.integers(5, 14)))
    points = np.stack([xs, rng.uniform(-0.3, 0.3, len(xs))], axis=1) * size
    thickness = int(rng.integers(1, 2 + int(size / 15)))
    turned = _turned(rng, points, center)
    cv2.polylines(image, [turned], False, _color(rng), thickness, cv2.LINE_AA)


def _lamp(rng: np.random.Generator, image: np.ndarray, center: np.ndarray, size: float) -> None:
    """Light up a round or oblong patch with a halo."""
    light = np.zeros_like(image)
    axes = (max(1, int(size * rng.uniform(0.1, 0.5))), max(1, int(size * 0.2)))
    warm = (rng.uniform(120, 255), rng.uniform(200, 255), 255.0)
    cv2.ellipse(light, _point(center), axes, rng.uniform(0, 180), 0, 360, warm, -1)
    cv2.add(image, cv2.blur(light, (axes[1] | 1, axes[1] | 1)), dst=image)


KINDS = (_cables, _grid, _blob, _leaves, _arrow, _stripes, _rings, _pane, _zigzag, _lamp)
