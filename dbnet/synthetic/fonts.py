"""Fonts for synthetic text, named by strings, so that a dataset pickles without open files."""

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from dbnet.errors import UserError

PILLOW_FONT = "Pillow"  # Aileron, which Pillow carries in its code
# Of matplotlib's fonts the others hold symbols alone.
MATPLOTLIB_FONTS = (
    *("DejaVuSans.ttf", "DejaVuSans-*.ttf", "DejaVuSansMono*.ttf", "DejaVuSerif.ttf"),
    *("DejaVuSerif-*.ttf", "STIXGeneral*.ttf", "cm[br]10.ttf", "cm[st][sit]10.ttf"),
)
FONT_SUFFIXES = (".otf", ".ttf")

NO_CHARACTER = "\uffff"  # never assigned, so that its glyph is that of a missing one
CAPITALS_AND_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
ASCII = CAPITALS_AND_DIGITS + "abcdefghijklmnopqrstuvwxyz.,:;-+/&%$!?#@'()*"
BEYOND_ASCII = "€£äöüßéèàçñ"


@lru_cache(maxsize=1)
def builtin_fonts() -> tuple[str, ...]:
    """Name the fonts with Latin letters that matplotlib and Pillow bring along."""
    import matplotlib  # half a second, and no worker needs it

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    paths = sorted({path for pattern in MATPLOTLIB_FONTS for path in folder.glob(pattern)})
    return PILLOW_FONT, *(str(path) for path in paths)


def folder_fonts(folder: str | Path) -> tuple[str, ...]:
    """Name the .ttf and .otf files below a folder, sorted.

    A `UserError` if there is none, or one cannot be read or has no Latin capitals and digits.
    """
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in FONT_SUFFIXES)
    if not paths:
        raise UserError(f"font_dir {folder}: no .ttf or .otf file in it; name a folder of fonts")
    for path in paths:
        if not set(CAPITALS_AND_DIGITS) <= characters_of(str(path)):
            raise UserError(f"font {path}: lacks Latin capitals or digits, remove it from font_dir")
    return tuple(str(path) for path in paths)


@lru_cache(maxsize=512)
def load_font(name: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Open a font, a file or `PILLOW_FONT`, once per process; `size` is of the em square, pixels.

    A `UserError` if the file is missing or no font.
    """
    if name == PILLOW_FONT:
        return ImageFont.load_default(size)
    try:
        # Raqm's layout is for scripts that join letters, and takes several times as long.
        return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise UserError(f"font {name}: cannot be read ({error}), remove it from font_dir") from None


@lru_cache(maxsize=512)
def characters_of(name: str) -> frozenset[str]:
    """Find the characters that a font can draw, among those that the words use.

    Old TeX fonts have other signs beyond ASCII; a font without "é" counts as ASCII alone.
    """
    font = load_font(name, 16)
    missing = bytes(font.getmask(NO_CHARACTER))

    def drawn(characters: str) -> set[str]:
        return {c for c in characters if bytes(font.getmask(c)) not in (missing, b"")}

    beyond = drawn(BEYOND_ASCII)
    return frozenset(drawn(ASCII) | (beyond if "é" in beyond else set()))
