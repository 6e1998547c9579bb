"""What each command takes. Nothing here is slow to import, so help and mistakes come at once."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbnet.checkpoints import FORMATS
from dbnet.deploy.formats import LAYOUTS, PRECISIONS
from dbnet.evaluation.protocols import NAMES

# Formats of labels that are written, see dbnet/labels/writers.py.
WRITTEN = ("labelme", "paddleocr", "coco", "icdar", "labelstudio", "cvat", "yolo")
LAUNCHERS = ("none", "pytorch", "slurm")


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    return _whole(text, 1, "above 0")


def not_negative(text: str) -> int:
    """Parse a whole number of 0 or more."""
    return _whole(text, 0, "0 or more")


def above_zero(text: str) -> float:
    """Parse a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def as_port(text: str) -> int:
    """Parse the number of a TCP port."""
    return _whole(text, 0, "from 0 to 65535", 65535)


def as_seed(text: str) -> int:
    """Parse the seed of a random generator; NumPy's takes 32 bits."""
    return _whole(text, 0, "from 0 to 2^32 - 1", (1 << 32) - 1)


def _whole(text: str, least: int, words: str, most: float = float("inf")) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        comma = "," if words[0] == "0" else ""
        raise argparse.ArgumentTypeError(f"expected a whole number{comma} {words}, got {text!r}")
    return int(text)


def parse_size(text: str) -> tuple[int, int]:
    """Parse "1333,736" as (W, H)."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected W,H in pixels, such as 1333,736, got {text!r}")
    return int(parts[0]), int(parts[1])


def parse_tta(text: str) -> list[str]:
    """Parse "flip,scale", or one of them."""
    kinds = text.split(",")
    if set(kinds) - {"flip", "scale"}:
        raise argparse.ArgumentTypeError(f"expected flip, scale or flip,scale, got {text!r}")
    return kinds


class ConfigOptions(argparse.Action):
    """Collect KEY=VALUE pairs as mmengine's `DictAction` does, which is imported at first use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        for value in values:
            if "=" not in value:
                parser.error(f"argument --cfg-options: expected KEY=VALUE, got {value!r}")
        from mmengine.config import DictAction

        DictAction([], self.dest)(parser, namespace, values, option_string)


SHARED: dict[str, dict[str, Any]] = {
    "config": dict(help="config file, or its name"),
    "--work-dir": dict(help="logs; ./work_dirs/CONFIG_NAME if not given"),
    "--data-root": dict(help="folder of the annotation files"),
    "--test-size": dict(
        type=parse_size, metavar="W,H", help="long and short side at most, in pixels"
    ),
    "--cfg-options": dict(nargs="+", action=ConfigOptions, metavar="KEY=VALUE"),
    "--launcher": dict(choices=LAUNCHERS, default="none"),
    "--device": dict(help="cpu, cuda, cuda:1, ...; an accelerator if there is one"),
    "--amp": dict(action="store_true", help="bfloat16 where the device computes it natively"),
}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` for a command."""

    add = argparse.ArgumentParser.add_argument

    def __init__(self, command: str, description: str, **kwargs: Any) -> None:
        super().__init__(prog=f"dbnet {command}", description=description, **kwargs)

    def share(self, *names: str) -> None:
        """Add options that several commands have."""
        for name in names:
            self.add(name, **SHARED[name])


def train() -> Parser:
    parser = Parser("train", "Train a text detector.")
    parser.share("config")
    parser.add("--work-dir", help="logs and checkpoints; ./work_dirs/CONFIG_NAME if not given")
    parser.add(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|CKPT",
        help="resume from the newest whole checkpoint of the work directory (start from scratch if "
        "it has none), or from a file",
    )
    parser.add("--amp", action="store_true", help="mixed precision, on CUDA or a CPU with bf16")
    parser.add("--seed", type=as_seed, help="of initialisation, order and augmentation")
    parser.add(
        "--max-minutes",
        type=above_zero,
        metavar="M",
        help="end within M minutes: after the first steps the length of the run is fixed, and its "
        "schedules in proportion; a resumed run keeps it",
    )
    parser.share("--data-root", "--cfg-options", "--launcher")
    return parser


def test() -> Parser:
    parser = Parser("test", "Test a text detector.")
    parser.share("config")
    parser.add(
        "checkpoint",
        help="file or URL, of this project or of MMOCR; a file of dbnet export; or an ONNX file of "
        "another project for a config whose backbone is an ONNXGraph",
    )
    parser.add("--out", type=Path, metavar="results.json", help="write metrics and predictions")
    parser.add(
        "--submit", type=Path, metavar="submit.zip", help="write predictions for the competition"
    )
    parser.add("--show-dir", help="draw predictions and ground truth into this folder")
    parser.add(
        "--tta",
        type=parse_tta,
        metavar="flip,scale",
        help="average the maps of the mirrored image (twice the time), of 0.75 and 1.25 times its "
        "size (three times), or of both (six times)",
    )
    parser.share("--work-dir", "--data-root", "--test-size", "--amp", "--cfg-options")
    parser.share("--launcher")
    return parser


def infer() -> Parser:
    parser = Parser("infer", "Find the texts in images.")
    parser.add("images", nargs="+", metavar="IMAGES", help="files, folders or quoted patterns")
    parser.add(
        "--config", help="config file, or its name; without it the model of the package is used"
    )
    parser.add(
        "--checkpoint",
        help="file or URL, of this project, MMOCR or MhLiao/DB; or, without a config, a file of "
        "dbnet export or another project's ONNX file",
    )
    parser.add(
        "--out",
        type=Path,
        required=True,
        help="folder for results.json and a drawing per image; or for the files of --format or "
        "--rank, which may be that of the images: nothing is overwritten",
    )
    parser.add(
        "--format",
        choices=("json", *WRITTEN),
        default="json",
        help="json: results.json and drawings; else the files of a labelling tool, to be corrected "
        "there (default %(default)s)",
    )
    parser.add(
        "--rank",
        action="store_true",
        help="write rank.csv alone: the images by how much the model doubts them, those to label "
        "first on top",
    )
    parser.add(
        "--crops",
        type=Path,
        metavar="DIR",
        help="new folder for a PNG per text, upright and flat: IMAGE_N.png is its N-th polygon "
        "in results.json, counted from 0",
    )
    parser.add(
        "--batch-size", type=positive, default=1, metavar="N", help="images at once (default 1)"
    )
    _share_network(parser)
    return parser


def export() -> Parser:
    parser = Parser(
        "export",
        "Write a detector as a file for other runtimes, load it there and compare: the maps, then "
        "the texts of some images. A file that does not agree is removed.",
    )
    parser.add("config", nargs="?", help="config file, or its name; none: the package's model")
    parser.add("checkpoint", nargs="?", help="of that config: path or URL")
    parser.add(
        "--out",
        type=Path,
        required=True,
        metavar="model.onnx|model.xml|model.pt2",
        help="new file: ONNX, OpenVINO (with model.bin beside it) or torch.export",
    )
    parser.add(
        "--precision",
        choices=PRECISIONS,
        default="fp32",
        help="of the network; int8 needs --calibrate (default %(default)s)",
    )
    parser.add("--calibrate", type=Path, metavar="DIR", help="folder of training images, for int8")
    parser.add(
        "--layout",
        choices=LAYOUTS,
        default="nchw",
        help="opencv: for cv2.dnn.TextDetectionModel_DB, of a fixed size (default %(default)s)",
    )
    parser.add(
        "--size",
        type=parse_size,
        metavar="W,H",
        help="with --layout opencv: multiples of 32 (default: the config's test size)",
    )
    parser.add(
        "--opset", type=positive, metavar="N", help="of ONNX (default: the oldest that fits)"
    )
    parser.share("--cfg-options")
    return parser


def serve() -> Parser:
    parser = Parser(
        "serve",
        "Find the texts in images that arrive by HTTP: POST /detect, GET /health, /model, /docs. "
        "Needs the extra [serve].",
    )
    _share_model(parser)
    parser.add(
        "--host",
        default="127.0.0.1",
        help="address to listen at; 0.0.0.0 lets other machines in (default %(default)s)",
    )
    parser.add("--port", type=as_port, default=8000, help="default %(default)s; 0: a free one")
    parser.add(
        "--batch-size",
        type=positive,
        default=8,
        metavar="N",
        help="images of one size at once, of what waits (default %(default)s)",
    )
    for name, default, text in (
        ("--max-megabytes", 32.0, "of a request"),
        ("--max-megapixels", 50.0, "of an image"),
        ("--max-images", 16, "in a request"),
        ("--max-waiting", 64, "images at once, of all requests"),
        ("--timeout", 60.0, "seconds for a request to arrive, and for its answer"),
    ):
        parser.add(
            name,
            type=above_zero if isinstance(default, float) else positive,
            default=default,
            metavar="N",
            help=f"{text} (default {default:g})",
        )
    return parser


def demo() -> Parser:
    parser = Parser(
        "demo",
        "Find the texts in images on a page in the browser. Needs the extra [demo].",
    )
    parser.add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="files of dbnet export to choose from on the page, beside that of --checkpoint",
    )
    _share_model(parser)
    parser.add("--port", type=as_port, default=7860, help="default %(default)s; 0: a free one")
    return parser


def _share_model(parser: Parser) -> None:
    parser.add("--config", help="config file, or its name; without it the package's model")
    parser.add("--checkpoint", help="file or URL; or a file of dbnet export, without a config")
    _share_network(parser)


def _share_network(parser: Parser) -> None:
    parser.add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        help="bfloat16, or float32; if not given, bfloat16 on processors that compute it natively",
    )
    parser.share("--device", "--test-size", "--cfg-options")


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
        type=positive,
        metavar="N",
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


def tune() -> Parser:
    parser = Parser(
        "tune",
        "Search the settings of the post-processing on a detector's maps, which are computed once, "
        "and write a config that has the best.",
    )
    parser.share("config")
    parser.add("checkpoint", help="as for dbnet test")
    parser.add(
        "--ann-file", help="annotations to tune on; the config's validation set if not given"
    )
    parser.add(
        "--test-sizes",
        nargs="+",
        type=parse_size,
        metavar="W,H",
        help="sizes to try; the config's if not given",
    )
    parser.add(
        "--by",
        choices=("official_hmean", "hmean_iou_mean"),
        default="official_hmean",
        help="metric to search for: texts found, or the mean over IoU .5 to .8, for boxes that fit "
        "(default %(default)s)",
    )
    parser.add(
        "--out",
        type=Path,
        metavar="tuned.py",
        help="new config; ./CONFIG_NAME_tuned.py if not given",
    )
    parser.add("--on-test-set", action="store_true", help="go on with images of the test set")
    parser.add(
        "--max-gigabytes",
        type=above_zero,
        default=8.0,
        metavar="N",
        help="disk space for maps, some 0.1 MB per image (default %(default)g)",
    )
    parser.share("--work-dir", "--data-root", "--amp", "--cfg-options")
    parser.set_defaults(test_size=None, tta=None, launcher="none")
    return parser


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
    parser.add("--images", type=Path, metavar="DIR", help="your images, if they are not found")
    parser.add("--labels", type=Path, metavar="DIR", help="your labels, if they are not found")
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
    _share_classes(parser)
    parser.add("--list", action="store_true", help="print the datasets and stop")
    return parser


def _share_classes(parser: Parser) -> None:
    for option, text in (
        ("--keep", "classes of labels that are texts; others are left out (default: all)"),
        ("--ignore", "classes whose texts are ignored, neither learnt nor counted"),
    ):
        parser.add(option, type=_names, default=(), metavar="NAME,NAME", help=text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


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
    parser.add("--images", type=Path, metavar="DIR", help="the images, if they are not in SRC")
    parser.add("--skip-faulty", action="store_true", help="leave out what cannot be read")
    parser.add(
        "--orientation",
        choices=("stored", "displayed"),
        help="what coordinates of SRC mean in photos with an EXIF orientation",
    )
    _share_classes(parser)
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
        type=parse_size,
        default=(1333, 736),
        metavar="W,H",
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


def plot_log() -> Parser:
    parser = Parser("plot-log", "Plot the losses and metrics of training runs, side by side.")
    parser.add("work_dirs", nargs="+", type=Path, metavar="WORK_DIR")
    parser.add("--out", type=Path, default=Path("plot.png"), help="picture (default %(default)s)")
    return parser


def model_info() -> Parser:
    parser = Parser("model-info", "Print parameters, FLOPs and speed of a config's model.")
    parser.add("config", help="config file, or its name, or an ONNX file")
    parser.add(
        "--size",
        type=parse_size,
        default=(640, 640),
        metavar="W,H",
        help="of the image, in pixels (default 640,640)",
    )
    parser.add("--json", action="store_true", help="print JSON instead of a table")
    parser.share("--device", "--cfg-options")
    return parser


def convert() -> Parser:
    parser = Parser(
        "convert",
        "Convert the weights of a detector between the names of several projects. Only weights are "
        "kept: no optimizer, no history.",
        epilog="\n".join(["formats:", *(f"  {name:9} {about}" for name, about in FORMATS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add("src", metavar="SRC", help="checkpoint: path or URL")
    parser.add("dst", metavar="DST", type=Path, help="new file, .pth or .safetensors")
    parser.add(
        "--from", dest="source_format", choices=FORMATS, help="default: recognised by the names"
    )
    parser.add(
        "--to", dest="target_format", choices=FORMATS, default="dbnet", help="default: dbnet"
    )
    return parser


def publish() -> Parser:
    parser = Parser(
        "publish",
        "Make a checkpoint ready for others: the weights alone (the averaged ones, if the run kept "
        "an average), the SHA-256 in the name, and a model card.",
    )
    parser.share("config")
    parser.add("checkpoint", help="of that config: path or URL")
    parser.add("--out", type=Path, required=True, help="folder for both files")
    parser.add("--fp16", action="store_true", help="half the size, rounded to 11 bits")
    parser.add("--results", type=Path, help="results.json of `dbnet test --out`, for the card")
    parser.add("--data", help="what was trained on and under which licence, for the card")
    return parser


ZOO_NAME = "of the model, an alias or the first digits of the file's hash"


def zoo() -> Parser:
    parser = Parser("zoo", "Show and download the models that MMOCR has released.")
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="list|info|download",
        parser_class=argparse.ArgumentParser,
    )
    commands.add_parser("list", help="print all models with their published figures")
    info = commands.add_parser("info", help="print what is known of a model, and how to use it")
    download = commands.add_parser("download", help="download a model, or continue its download")
    for each in (info, download):
        each.add_argument("name", help=ZOO_NAME)
    download.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for a copy (default: none, cache only)"
    )
    return parser


PARSERS = {
    "train": train,
    "test": test,
    "infer": infer,
    "export": export,
    "serve": serve,
    "demo": demo,
    "evaluate": evaluate,
    "report": report,
    "tune": tune,
    "prepare": prepare,
    "convert-labels": convert_labels,
    "check": check,
    "browse": browse,
    "plot-log": plot_log,
    "model-info": model_info,
    "convert": convert,
    "publish": publish,
    "zoo": zoo,
}


def parse(command: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments of a command; None stands for those of the process."""
    parser = PARSERS[command]()
    args = parser.parse_args(argv)
    if command == "prepare" and not args.list:
        args.raw = args.raw or (args.labels if args.images else None)
        if None in (args.name, args.raw, args.out):
            parser.error("NAME, --raw and --out are needed (or --list alone)")
    return args
