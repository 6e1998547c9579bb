"""What `dbnet check` can find: each kind with its severity, its rule and a fix."""

from typing import NamedTuple

from dbnet.labels.text_lines import UNREADABLE

ERROR = "error"  # images are lost, something false is learnt, or test results would be too good
WARNING = "warning"  # words are left out or repaired, or it looks like a mistake
NOTE = "note"  # usual in good data too; worth a look if there are many
SEVERITIES = (ERROR, WARNING, NOTE)

# Pixels by which a corner may be beyond the image's edge: whoever counts pixels by their corners
# writes W for the right edge, half a pixel beyond it.
EDGE_TOLERANCE = 1.0
DUPLICATE_IOU = 0.95
MIN_SIDE = 32  # pixels; the deepest features have this stride
MAX_PIXELS = 50_000_000  # 150 MB once decoded, in each worker of a loader
MAX_ASPECT = 10


CORRECT = "correct or remove it"  # a fix


class Kind(NamedTuple):
    """A kind of finding."""

    severity: str  # one of `SEVERITIES`
    rule: str  # when it is reported, and its consequence
    fix: str  # what the user can do


class Finding(NamedTuple):
    """Something found in an image or one of its words."""

    kind: str  # key of `KINDS`
    detail: str  # the numbers of this case
    word: int | None = None  # index in `instances`, None if it concerns the image
    twin: int | None = None  # index of another word that it concerns

    def describe(self) -> str:
        """Describe where in the image it is, and the detail."""
        where = "" if self.word is None else f"word {self.word}: "
        return where + self.detail + ("" if self.twin is None else f" with word {self.twin}")


# Name: rule, fix.
_ERRORS = {
    "bad-entry": (
        "an entry of data_list needs img_path and the list instances; otherwise it is left out",
        "write the entry as docs/data_formats.md shows",
    ),
    "bad-word": (
        "a word needs its polygon [x1, y1, x2, y2, ...] and ignore, true or false; otherwise the "
        "word or its whole image is left out, or what should be ignored is learnt",
        "write the word as docs/data_formats.md shows",
    ),
    "missing-image": (
        "there is no such file; training uses another image, and tests count its words as missed",
        "correct img_path, which is relative to the annotation file's folder, or remove the entry",
    ),
    "unreadable-image": (
        "the file is empty, no image, or of a kind that OpenCV cannot read; as if it were missing",
        "fetch the file again, or convert it to JPEG or PNG",
    ),
    "damaged-image": (
        "the file is cut short or damaged; as if it were missing or, with some versions of "
        "OpenCV, blank where words are",
        "fetch the file again",
    ),
    "wrong-size": (
        "height and width of the entry differ from the file's, so its polygons belong to another "
        "version of the image",
        "use the images that were annotated, or annotate these",
    ),
    "fractions": (
        "all coordinates of the image are between 0 and 1; they must be pixels",
        "multiply x by the width and y by the height",
    ),
    "nothing-counts": (
        "no word of the file can be learnt: there are none, or all are ignored, outside, or too "
        "small at the test size",
        "label words that are to be found, or see why they are ignored: ###, difficult, iscrowd; "
        "if they are small, raise --test-size and that of the config",
    ),
    "leak": (
        "the same or nearly the same picture is in another annotation file, so tests are too good",
        "take it out of one of them, unless they belong together",
    ),
}
_WARNINGS = {
    "turned-image": (
        "EXIF says that viewers turn or mirror the image; training reads it as stored, and "
        "boxes drawn in such a viewer are wrong",
        "compare the --html report's pictures with the words; if wrong, store the image upright",
    ),
    "extreme-size": (
        f"a side below {MIN_SIDE} pixels, more than {MAX_PIXELS // 10**6} million pixels, or one "
        f"side more than {MAX_ASPECT} times the other",
        "cut or scale the image",
    ),
    "duplicate-image": (
        "the same or nearly the same picture is in the file before; it counts twice",
        "remove one of the entries",
    ),
    "few-points": ("a polygon has fewer than three corners; the word is left out", CORRECT),
    "not-finite": ("a coordinate is not finite; the word is left out", CORRECT),
    "no-area": ("the corners are on a line or a point; the word is left out", CORRECT),
    "corner-order": (
        "the sides of four corners cross; training uses their convex hull",
        "list the corners in order around the word, not row by row",
    ),
    "crossing": (
        "the outline crosses itself; training uses what is inside an odd number of times",
        "list the corners in order around the word",
    ),
    "outside": (
        "a word is entirely outside its image: never learnt, yet missed in every test",
        "correct or remove it; do the polygons belong to this image?",
    ),
    "partly-outside": (
        f"a corner is more than {EDGE_TOLERANCE:g} pixel beyond the image; training cuts "
        "the polygon off there",
        "if there are many, check that the polygons belong to these images",
    ),
    "small-in-training": (
        "less than half of the words in 50 samples of the training pipeline have a short side of 8 "
        "pixels; the others are not learnt: a large page full of text is shrunk as a whole",
        "train with RandomScaleCrop in the pipeline, see docs/your_data.md, large pages",
    ),
    "mixed-levels": (
        "some texts of the file are words and others lines: texts that lie on several others, or a "
        "few transcriptions with spaces among many without; found as one, they are counted as many",
        "keep one level: dbnet prepare --keep word, or label the others anew",
    ),
    "duplicate-word": (
        f"two words of an image have an IoU above {DUPLICATE_IOU}: found once, it is missed once",
        "remove one of them",
    ),
    "unmarked": (
        f"the text is {UNREADABLE}, unreadable, yet ignore is false: learnt and counted as text",
        "set ignore to true",
    ),
}
_NOTES = {
    "splits": (
        "the shrunk word falls apart; its parts will be found one by one",
        "annotate the parts as words of their own, or make the outline even",
    ),
    "too-small": (
        "a word that counts has a short side below 8 pixels at the test size: ignored where "
        "training sees it as small as that, yet counted in tests",
        "raise the test size, or mark such words as ignored",
    ),
    "not-given-back": (
        "were the network perfect, the post-processing of --config would still give no box with an "
        "IoU above 0.5: the word is too long or too thin for it",
        'set model.postprocessor.grow="inverse" and shrink_ratio=0.55, see docs/metrics.md',
    ),
    "no-words": ("an image has no words; it trains as background", "is that intended?"),
    "all-ignored": ("all words of an image are ignored; it teaches little", "is that intended?"),
}
KINDS = {
    name: Kind(severity, *texts)
    for severity, table in zip(SEVERITIES, (_ERRORS, _WARNINGS, _NOTES))
    for name, texts in table.items()
}

# Found where there is no image to show.
PICTURELESS = frozenset({"bad-entry", "missing-image", "unreadable-image", "damaged-image"})
