"""Scenes of boxes for the tests of protocols."""

import numpy as np

from dbnet.evaluation.protocols.counting import PROTOCOLS
from dbnet.evaluation.protocols.scene import Scene


def points(*coordinates):
    return np.float32(coordinates).reshape(-1, 2)


def box(left, top, right, bottom):
    return points(left, top, right, top, right, bottom, left, bottom)


def count(name, texts, predictions, ignored=None, num_chars=()):
    flags = [False] * len(texts) if ignored is None else ignored
    return tuple(map(float, PROTOCOLS[name](Scene(texts, flags, predictions, num_chars))))


LINE = points(0, 0, 10, 0, 10, 0, 0, 0)  # no area
TWO_POINTS = points(0, 0, 10, 0)
BOW_TIE = points(0, 0, 100, 20, 100, 0, 0, 20)
