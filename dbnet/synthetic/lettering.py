"""Blocks of words, drawn flat: the ink's coverage and the box of each word."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from dbnet.synthetic.fonts import load_font

# Sizes come from a ladder, since opening a font costs more than drawing a word.
FONT_SIZES = (10, 12, 14, 17, 20, 24, 29, 35, 42, 50, 60, 72, 86, 104, 124, 149, 179, 215)
VISIBLE = 40  # of 255: the coverage from which a pixel counts as a letter's
RIM = 3  # empty pixels around a mask, so that resampling fades out

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Ink(NamedTuple):
    """A word drawn alone: (H, W) uint8 coverage, and its first row relative to the baseline."""

    mask: np.ndarray
    top: int


class Word(NamedTuple):
    """A word of a block; `box` spans its ink in pixels of the block's mask."""

    text: str
    box: Box


class Block(NamedTuple):
    """Words that share a plane, a font and a colour."""

    # (H, W) uint8, how much of each pixel is ink; the outermost `RIM` pixels are 0.
    mask: np.ndarray
    lines: tuple[tuple[Word, ...], ...]  # the words of each line, from left to right


class Style(NamedTuple):
    """How a block is set; lengths are shares of the font size."""

    font: str
    size: int  # pixels of the em square
    tracking: float  # extra space between letters
    space: float  # between the ink of two words
    leading: float  # between the ink of two lines
    alignment: float  # 0 left, 1 right
    bold: float  # extra thickness of the strokes


def sample_style(rng: np.random.Generator, font: str, size: float) -> Style:
    """Sample a typography for letters that will be shrunk to a font size of `size` pixels."""
    return Style(
        font=font,
        size=next((step for step in FONT_SIZES if step >= size), FONT_SIZES[-1]),
        tracking=rng.uniform(-0.02, 0.25) if rng.random() < 0.25 else 0.0,
        space=rng.uniform(0.3, 0.6),
        leading=rng.uniform(0.28, 0.6),
        alignment=float(rng.choice((0.0, 0.5, 1.0), p=(0.35, 0.5, 0.15))),
        bold=rng.uniform(0.02, 0.06) if rng.random() < 0.3 else 0.0,
    )


def set_block(lines: Sequence[Sequence[str]], style: Style) -> Block:
    """Draw lines of words into one mask.

    Words of a line share its baseline. Lines keep their distance from ink to ink, so that no
    descender touches what is below.
    """
    # 4 pixels are what the margins of two small words take.
    space, leading = max(4, style.space * style.size), max(4, style.leading * style.size)
    inks = [[draw_ink(text, style) for text in line] for line in lines]
    widths = [sum(ink.mask.shape[1] + space for ink in line) - space for line in inks]
    tops = [min(ink.top for ink in line) for line in inks]
    heights = [
        max(ink.top + ink.mask.shape[0] for ink in line) - top for line, top in zip(inks, tops)
    ]
    height = int(sum(heights) + leading * (len(lines) - 1)) + 2 * RIM + 1
    mask = np.zeros((height, int(max(widths)) + 2 * RIM + 1), np.uint8)
    y, placed = float(RIM), []
    for texts, line, width, top, line_height in zip(lines, inks, widths, tops, heights):
        x = RIM + style.alignment * (max(widths) - width)
        words = []
        for text, ink in zip(texts, line):
            words.append(Word(text, paste(mask, ink.mask, int(x), int(y) + ink.top - top)))
            x += ink.mask.shape[1] + space
        placed.append(tuple(words))
        y += line_height + leading
    return Block(mask, tuple(placed))


def draw_ink(text: str, style: Style) -> Ink:
    """Draw a word and cut it to its ink."""
    font = load_font(style.font, style.size)
    stroke = style.bold * style.size
    parts = list(text) if style.tracking else [text]
    advances = [font.getlength(part) + style.tracking * style.size for part in parts]
    base = int(1.6 * style.size)
    canvas = Image.new("L", (int(sum(advances)) + 2 * style.size, int(2.4 * style.size)))
    pen, x = ImageDraw.Draw(canvas), float(style.size)
    for part, advance in zip(parts, advances):
        pen.text((x, base), part, fill=255, font=font, anchor="ls", stroke_width=stroke)
        x += advance
    pixels = np.asarray(canvas)
    left, top, width, height = cv2.boundingRect((pixels >= VISIBLE).view(np.uint8))
    return Ink(pixels[top : top + height, left : left + width], top - base)


def paste(mask: np.ndarray, ink: np.ndarray, left: int, top: int) -> Box:
    """Add a word to a mask, in place, and give the box of its ink."""
    height, width = ink.shape
    part = mask[top : top + height, left : left + width]
    np.maximum(part, ink, out=part)
    return left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5


def surround(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around others."""
    left, top, right, bottom = zip(*boxes)
    return min(left), min(top), max(right), max(bottom)
