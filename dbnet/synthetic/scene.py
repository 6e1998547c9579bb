"""Draw one scene: background, distractors, blocks of words, camera."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from dbnet.geometry import perimeter, signed_area
from dbnet.synthetic.backgrounds import draw_background
from dbnet.synthetic.degradation import Camera, defocus, sample_camera, take_picture
from dbnet.synthetic.distractors import add_distractors
from dbnet.synthetic.fonts import builtin_fonts, characters_of
from dbnet.synthetic.lettering import RIM, Block, sample_style, set_block, surround
from dbnet.synthetic.painting import paint_sign
from dbnet.synthetic.placement import Placement, place_block, sample_bend, sample_plane
from dbnet.synthetic.words import sample_word

Level = Literal["word", "line"]

# Rows of words per block, with their probabilities; one word is the most usual sign.
LAYOUTS = ((1,), (2,), (1, 1), (3,), (2, 1), (1, 2), (2, 2), (2, 3, 2))
LAYOUT_SHARES = (0.42, 0.14, 0.14, 0.08, 0.07, 0.07, 0.05, 0.03)
LEGIBLE_HEIGHT = 8.0  # pixels of the polygon; lower text is ignored
LEGIBLE_SMEARS = 4.0  # standard deviations of the blur that legible text is high, at least


class Scene(NamedTuple):
    """A picture and its text."""

    image: np.ndarray  # (H, W, 3) uint8 BGR
    polygons: list[np.ndarray]  # (2 K, 2) float32 each, pixels, clockwise from the text's top left
    ignored: list[bool]  # whether a text is too small to read
    texts: list[str]  # what each says; a line's words are joined by blanks


def draw_scene(
    rng: np.random.Generator,
    size: tuple[int, int] = (256, 256),
    num_words: tuple[int, int] = (2, 6),
    difficulty: float = 0.3,
    level: Level = "word",
    fonts: Sequence[str] = (),
    photos: Sequence[str] = (),
) -> Scene:
    """Draw a scene (W, H) with words on it, and the polygons around their ink.

    Words lie inside the image and apart from each other. What is not text does not depend on the
    words, nor do image and words on `level`: a polygon per word, or per line of words. Four numbers
    are drawn from `rng`. `num_words` are least and largest, as far as there is room for them;
    `difficulty` is 0 for few large, straight words of high contrast on calm grounds, 1 for small,
    bent, turned, blurred ones of low contrast amid clutter. Without files of fonts those that
    matplotlib and Pillow bring along are taken; without files of photos backgrounds are drawn.
    """
    shape = (size[1], size[0])
    scenery, clutter, text, optics = split_generator(rng, 4)
    camera = sample_camera(optics, difficulty)
    image = draw_background(scenery, shape, difficulty, photos)
    add_distractors(clutter, image, difficulty)
    image = defocus(clutter, image, difficulty)
    signs = draw_signs(text, shape, num_words, difficulty, fonts or builtin_fonts())
    for placement, padding in signs:
        # The mask's rim is around the ink already.
        paint_sign(text, image, placement, padding - RIM, difficulty)
    polygons, texts = annotate([placement for placement, _ in signs], level)
    picture = take_picture(optics, image, camera)
    return Scene(picture, polygons, [is_illegible(p, camera) for p in polygons], texts)


def split_generator(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Make independent generators, so that what one part draws leaves the others alone."""
    return [np.random.default_rng(int(seed)) for seed in rng.integers(2**63, size=count)]


def draw_signs(
    rng: np.random.Generator,
    shape: tuple[int, int],
    num_words: tuple[int, int],
    difficulty: float,
    fonts: Sequence[str],
) -> list[tuple[Placement, float]]:
    """Draw blocks of words and find room for them, and so many pixels of their masks around."""
    occupied = np.zeros(shape, np.uint8)
    missing, signs = int(rng.integers(num_words[0], num_words[1] + 1)), []
    for _ in range(2 * missing):  # not every block finds room
        if missing <= 0:
            break
        block, scale = draw_block(rng, shape, missing, difficulty, fonts)
        padding = 3 + rng.uniform(0.1, 0.5) * block.mask.shape[0] / len(block.lines)
        bend = sample_bend(rng, block, difficulty)
        plane = sample_plane(rng, block, scale, difficulty)
        placement = place_block(rng, block, bend, plane, padding, occupied)
        if placement is not None:
            signs.append((placement, padding))
            missing -= sum(len(line) for line in block.lines)
    return signs


def draw_block(
    rng: np.random.Generator,
    shape: tuple[int, int],
    most: int,
    difficulty: float,
    fonts: Sequence[str],
) -> tuple[Block, float]:
    """Draw up to `most` words, their arrangement and typography.

    Returns the block, and the pixels of the image per pixel of its mask.
    """
    layout = LAYOUTS[rng.choice(len(LAYOUTS), p=LAYOUT_SHARES)]
    if sum(layout) > most:
        layout = (1,)
    font = fonts[int(rng.integers(len(fonts)))]
    characters = characters_of(font)
    lines = [[sample_word(rng, characters) for _ in range(count)] for count in layout]
    smallest, largest = font_sizes(min(shape), difficulty)
    size = np.exp(rng.uniform(np.log(smallest), np.log(largest))) / len(layout) ** 0.4
    style = sample_style(rng, font, size)
    return set_block(lines, style), float(size / style.size)


def font_sizes(side: int, difficulty: float) -> tuple[float, float]:
    """Return the least and largest font size in pixels for images whose shorter side is `side`."""
    easy, hard = max(0.11 * side, 12.0), 7.0
    smallest = easy ** (1 - difficulty) * hard**difficulty
    return smallest, max(smallest, (0.26 - 0.12 * difficulty) * side)


def annotate(placements: Sequence[Placement], level: Level) -> tuple[list[np.ndarray], list[str]]:
    """Return the polygons and texts of all words, or of all lines."""
    polygons, texts = [], []
    for placement in placements:
        for line in placement.block.lines:
            groups = [[word] for word in line] if level == "word" else [list(line)]
            for group in groups:
                box = surround(word.box for word in group)
                polygons.append(placement.word_polygon(box))
                texts.append(" ".join(word.text for word in group))
    return polygons, texts


def is_illegible(polygon: np.ndarray, camera: Camera) -> bool:
    """Check whether a text is too low to be read after the camera's blur."""
    area = abs(signed_area(polygon))
    # A strip of height h and length l: A = h l and L = 2 (h + l).
    half = perimeter(polygon) / 2
    height = (half - np.sqrt(max(half**2 - 4 * area, 0.0))) / 2
    return bool(height < max(LEGIBLE_HEIGHT, LEGIBLE_SMEARS * camera.smear))
