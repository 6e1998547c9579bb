"""Draw one printed page: columns of paragraphs, dark on light or the other way round."""

from collections.abc import Iterator, Sequence

import numpy as np

from dbnet.synthetic.degradation import sample_camera, take_picture
from dbnet.synthetic.fonts import builtin_fonts, characters_of, load_font
from dbnet.synthetic.lettering import FONT_SIZES, RIM, Block, Style, set_block
from dbnet.synthetic.painting import Patch, blend, random_color
from dbnet.synthetic.placement import Placement, Straight, translation
from dbnet.synthetic.scene import Level, Scene, annotate, is_illegible, split_generator
from dbnet.synthetic.textures import noise
from dbnet.synthetic.words import SIGN_WORDS, sample_word

TEXT_SIZES = tuple(size for size in FONT_SIZES if 12 <= size <= 35)  # pixels of the em square

MOST_PARAGRAPHS = 60  # of a column


def draw_page(
    rng: np.random.Generator,
    size: tuple[int, int],
    difficulty: float = 0.3,
    level: Level = "word",
    fonts: Sequence[str] = (),
) -> Scene:
    """Draw a page (W, H) full of words, and the polygons around their ink.

    `difficulty`, in [0, 1], is that of how it was photographed or scanned; a polygon is of a word,
    or of a line of a column. `fonts` are files; without any, those that matplotlib and Pillow bring
    along.
    """
    text, optics = split_generator(rng, 2)
    paper, ink = sample_colors(text)
    grain = noise(text, (size[1], size[0]), finest=2, roughness=0.6) - 0.5
    image = np.clip(paper + 14 * text.random() * grain[..., None], 0, 255).astype(np.uint8)
    placements = []
    for block, left, top in set_columns(text, size, fonts or builtin_fonts()):
        blend(image, Patch(block.mask.astype(np.float32) / 255, left, top), ink)
        flat = Placement(block, Straight(), translation(left, top))
        placements.append(flat._replace(to_image=flat.to_image @ translation(*flat.middle())))
    polygons, texts = annotate(placements, level)
    camera = sample_camera(optics, difficulty / 2)
    picture = take_picture(optics, image, camera)
    return Scene(picture, polygons, [is_illegible(p, camera) for p in polygons], texts)


def sample_colors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sample the colours of paper and ink, (3,) float32 BGR each."""
    light = random_color(rng, rng.uniform(190, 255), rng.uniform(0, 0.5))
    dark = random_color(rng, rng.uniform(0, 80), rng.uniform(0, 0.6) ** 2)
    return (light, dark) if rng.random() < 0.85 else (dark, light)


def set_columns(
    rng: np.random.Generator, size: tuple[int, int], fonts: Sequence[str]
) -> Iterator[tuple[Block, int, int]]:
    """Fill one to three columns with paragraphs; each with its first column and row of pixels."""
    margin, gap = (int(rng.uniform(*bounds) * size[0]) for bounds in ((0.01, 0.08), (0.03, 0.06)))
    columns = int(rng.integers(1, 4))
    width = (size[0] - 2 * margin - (columns - 1) * gap) // columns
    font = fonts[int(rng.integers(len(fonts)))]
    body = int(rng.choice(TEXT_SIZES[:5]))
    for column in range(columns):
        left, top = margin + column * (width + gap), margin
        for _ in range(MOST_PARAGRAPHS):
            block = set_paragraph(rng, font, body, width)
            height = block.mask.shape[0]
            if top + height > size[1] - margin:
                break
            if block.mask.shape[1] > width:
                continue  # a word alone is too long
            yield block, left, top
            top += height - 2 * RIM + int(rng.uniform(0.4, 1.6) * body)


def set_paragraph(rng: np.random.Generator, font: str, body: int, width: int) -> Block:
    """Set a paragraph, now and then a headline, of words that fit into `width` pixels."""
    headline = bool(rng.random() < 0.15)
    larger = [step for step in TEXT_SIZES if step > body]
    style = Style(
        font=font,
        size=int(rng.choice(larger)) if headline else body,
        tracking=0.0,
        space=rng.uniform(0.25, 0.4),
        leading=rng.uniform(0.15, 0.6),
        alignment=0.0,
        bold=0.03 if headline and rng.random() < 0.5 else 0.0,
    )
    count = 1 if headline else int(rng.integers(1, 8))
    return set_block([fill_line(rng, style, width) for _ in range(count)], style)


def fill_line(rng: np.random.Generator, style: Style, width: int) -> list[str]:
    """Sample words until a line of `width` pixels is full; one word at least."""
    font, characters = load_font(style.font, style.size), characters_of(style.font)
    words: list[str] = []
    taken = 2.0 * RIM
    while True:
        word = SIGN_WORDS[rng.integers(len(SIGN_WORDS))]
        if rng.random() < 0.2 or not set(word) <= characters:
            word = sample_word(rng, characters)
        # What the stroke of bold letters adds, and rounding.
        taken += font.getlength(word) + style.space * style.size + 4
        if words and taken > width:
            return words
        words.append(word)
