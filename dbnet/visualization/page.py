"""HTML pages in one file: their look, and pictures in them."""

import base64
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from dbnet.utils.files import replace_when_complete

QUALITY = 75  # of the JPEGs; the pictures of 1000 bad images take some 2 MB


def write_page(path: Path, template: Path, **values: Any) -> None:
    """Write a page from a template that extends `page.html.jinja` beside this module."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name).render(**values)
    with replace_when_complete(path) as partial:
        # A JSON string may hold half a surrogate pair, which cannot be written.
        partial.write_text(page, encoding="utf-8", errors="replace")


def to_source(image: np.ndarray) -> str:
    """Encode an image (H, W, 3) as the source of an HTML image, a data URI."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
