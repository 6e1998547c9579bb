"""What a user asks `dbnet prepare` for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """Where a set lies, where to write, and how to read what its format leaves open.

    Attributes:
        raw: The folder of the downloads, each a zip or a folder, or of a user's labels and images.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too, instead of being referenced where they
            lie.
        in_place: Whether archives are read where they lie, instead of being unpacked.
        images: The folder of a user's images, None to look for it in `raw`.
        labels: The folder of a user's labels, None to look for it in `raw`.
        keep_difficult: Whether what PPOCRLabel calls difficult counts as text.
        orientation: Which view of a photo with an EXIF orientation coordinates mean: "stored",
            "displayed", or None if the labels do not tell.
        keep: Names of the classes that are texts; none for all of them.
        ignore: Names of the classes whose texts are ignored.
    """

    raw: Path
    out: Path
    copy: bool = False
    in_place: bool = False
    images: Path | None = None
    labels: Path | None = None
    keep_difficult: bool = False
    orientation: str | None = None
    keep: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
