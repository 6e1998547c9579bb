"""What the commands take that are about labels, images and results."""

from pathlib import Path

from dbnet.cli.options.parser import DIR, NUMBER, SIZE, Parser, share_classes
from dbnet.cli.options.values import as_seed, not_negative, positive
from dbnet.evaluation.protocols import NAMES

PART_FORMATS = ("jsonl", "parquet")  # see dbnet/evaluation/result_parts.py
# Formats of labels that are written, see dbnet/labels/writers.py.
WRITTEN = ("labelme", "paddleocr", "coco", "icdar", "labelstudio", "cvat", "yolo")


def prepare() -> Parser:
    parser = Parser("prepare", "Make annotation files from a dataset's files.")
    parser.add("name", nargs="?", help="dataset, see --list")
    parser.add("--raw", type=Path, help="folder with the downloads, zips or folders")
    parser.add("--out", type=Path, help="folder for the annotation files")
    parser.add(
        "--val-fraction",
        type=float,
        help="share of the training images that textdet_val.json gets; the others go to "
        "textdet_trainpart.json",
    )
    parser.add("--seed", type=int, default=0, help="seed of that sample (default 0)")
    parser.add("--copy", action="store_true", help="copy folders below --out too")
    parser.add(
        "--in-place",
        action="store_true",
        help="leave archives as they are: the annotation names pictures as zip://NAME::ARCHIVE",
    )
    parser.add("--images", **DIR, help="your images, if they are not found")
    parser.add("--labels", **DIR, help="your labels, if they are not found")
    parser.add(
        "--skip-faulty",
        action="store_true",
        help="leave out what cannot be read and list it in OUT/faulty.csv, instead of stopping",
    )
    parser.add(
        "--keep-difficult",
        action="store_true",
        help="learn the words that PPOCRLabel calls difficult, as PaddleOCR does",
    )
    parser.add(
        "--orientation",
        choices=("stored", "displayed"),
        help="what coordinates mean in photos with an EXIF orientation: the pixels as stored, or "
        "the picture as viewers display it",
    )
    share_classes(parser)
    parser.add("--list", action="store_true", help="print the datasets and stop")
    return parser


def convert_labels() -> Parser:
    parser = Parser(
        "convert-labels",
        "Write labels of one tool in the format of another. Images stay where they are.",
    )
    parser.add("src", metavar="SRC", type=Path, help="folder of the labels and images")
    parser.add(
        "dst",
        metavar="DST",
        type=Path,
        help="folder for the new labels, which may be SRC: nothing is overwritten",
    )
    parser.add("--to", required=True, choices=WRITTEN, help="format to write")
    parser.add("--from", dest="name", help="format of SRC (default: recognised by its files)")
    parser.add("--images", **DIR, help="the images, if they are not in SRC")
    parser.add("--skip-faulty", action="store_true", help="leave out what cannot be read")
    parser.add(
        "--orientation",
        choices=("stored", "displayed"),
        help="what coordinates of SRC mean in photos with an EXIF orientation",
    )
    share_classes(parser)
    return parser


def check() -> Parser:
    parser = Parser(
        "check",
        "Look through annotation files and their images before training: damaged images, bad "
        "polygons, words too small to learn, pictures in two files. Exit status 1 if there "
        "is an error.",
    )
    parser.add(
        "annotations",
        nargs="+",
        type=Path,
        metavar="ANNOTATION",
        help="annotation file; of several, such as train and test, common pictures are found",
    )
    parser.add("--html", type=Path, metavar="report.html", help="write a page with pictures")
    parser.add(
        "--json", type=Path, metavar="findings.json", help="write all findings, for programs"
    )
    parser.add(
        "--test-size",
        default=(1333, 736),
        **SIZE,
        help="long and short side at most, in pixels, at which words are measured (default "
        "1333,736)",
    )
    parser.add(
        "--config",
        default="dbnet_r18_fpnc_1200e_icdar2015",
        help="whose training pipeline tells how large words of the first file are in training "
        "(default %(default)s)",
    )
    parser.add("--workers", type=positive, help="threads; as many as processors if not given")
    return parser


def browse() -> Parser:
    parser = Parser(
        "browse", "Draw the samples of a config as the network sees them: polygons and targets."
    )
    parser.share("config")
    parser.add("--split", choices=["train", "val", "test"], default="train")
    parser.add("--out", type=Path, help="folder; ./work_dirs/CONFIG_NAME/browse_SPLIT if not given")
    parser.add("--number", type=positive, default=16, help="of samples (default %(default)s)")
    parser.add(
        "--epoch",
        type=not_negative,
        default=0,
        help="that augmentation and order belong to (default 0)",
    )
    parser.add("--seed", type=as_seed, help="of augmentation and order; the config's if not given")
    parser.share("--data-root", "--cfg-options")
    return parser


def evaluate() -> Parser:
    parser = Parser("evaluate", "Evaluate predictions in files against ground truth in files.")
    parser.add(
        "--pred",
        type=Path,
        required=True,
        metavar="results.json|submit.zip",
        help="file of test.py --out, or a submission",
    )
    parser.add(
        "--gt",
        type=Path,
        required=True,
        metavar="annotation.json|gt.zip|gt-dir",
        help="annotation file, or a zip or folder of gt_img_N.txt",
    )
    parser.add(
        "--protocol",
        nargs="+",
        choices=[*NAMES, "all"],
        metavar="NAME",
        help=f"count by other protocols instead: {', '.join(NAMES)}, or all; see docs/metrics.md",
    )
    parser.add(
        "--bootstrap",
        **NUMBER,
        help="print 95 %% intervals, from N resamples of the images, such as 10000",
    )
    parser.add(
        "--against",
        type=Path,
        metavar="OTHER",
        help="print how much better --pred is than this file, with intervals (N is 10000 if not "
        "given)",
    )
    return parser


def report() -> Parser:
    parser = Parser(
        "report",
        "Show one result, or two side by side, on one HTML page without network: precision and "
        "recall, all protocols with intervals, what kinds of texts are found, the cause of each "
        "error, the worst images, and what the second gained and lost.",
    )
    parser.add(
        "results", type=Path, metavar="RESULTS", help="file of test.py --out, or a submission"
    )
    parser.add("other", nargs="?", type=Path, metavar="RESULTS", help="another, to compare with it")
    parser.add(
        "--gt",
        type=Path,
        required=True,
        metavar="ANNOTATION",
        help="annotation file, or a zip or folder of gt_img_N.txt (without pictures)",
    )
    parser.add("--html", type=Path, required=True, metavar="report.html", help="the page")
    return parser


def plot_log() -> Parser:
    parser = Parser("plot-log", "Plot the losses and metrics of training runs, side by side.")
    parser.add("work_dirs", nargs="+", type=Path, metavar="WORK_DIR")
    parser.add("--out", type=Path, default=Path("plot.png"), help="picture (default %(default)s)")
    return parser
