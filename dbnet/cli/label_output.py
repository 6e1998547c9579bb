import argparse
from collections.abc import Sequence
from pathlib import Path

from dbnet.labels.entries import Instance
from dbnet.labels.label_files import Page, check_label_files, fill, make_pages, write_label_files
from dbnet.labels.writers import WRITERS
from dbnet.version import __version__
from dbnet.weights import shipped_model


class LabelOutput:
    """The files of a labelling tool, which appear at the end."""

    def __init__(self, args: argparse.Namespace, images: Sequence[str]) -> None:
        self.writer, self.out = WRITERS[args.format], args.out
        checkpoint = Path(args.checkpoint or shipped_model().checkpoint)
        self.model = f"dbnet {__version__} {checkpoint.stem}"
        self.page_of = dict(zip(images, make_pages(images)))
        self.pages: list[Page] = []
        check_label_files([*self.page_of.values()], self.out, self.writer)

    def add(self, path: str, drawing: Path, result: dict) -> None:
        """Keep the texts of an image."""
        words = [Instance(polygon, "", False) for polygon in result["polygons"]]
        scores = result["scores"].tolist()
        view = self.writer.view
        self.pages.append(fill(self.page_of[path], view, words, "displayed", scores))

    def finish(self) -> None:
        """Write what was kept."""
        write_label_files(self.pages, self.out, self.writer, self.model)
