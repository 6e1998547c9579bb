"""What the commands take that train and test, find texts, and ship detectors."""

from pathlib import Path

from dbnet.cli.options.data import PART_FORMATS, WRITTEN
from dbnet.cli.options.parser import DIR, NUMBER, SIZE, Parser, share_network
from dbnet.cli.options.values import above_zero, as_port, as_seed, parse_tta, positive
from dbnet.deploy.formats import LAYOUTS, PRECISIONS


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
    parser.add("--test-sizes", nargs="+", **SIZE, help="sizes to try; the config's if not given")
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


def share_parts(parser: Parser) -> None:
    parser.add("--resume", action="store_true", help="skip what the parts in --out hold already")
    parser.add(
        "--ray",
        metavar="auto|ADDRESS",
        help="share the images among the actors of a Ray cluster: the one on this machine, which "
        "is started if there is none, or one at an address",
    )
    parser.add("--actors", **NUMBER, help="default: one per GPU, or per CPU")
    parser.add(
        "--gpus-per-actor", type=above_zero, metavar="F", help="such as 0.25 (default 1, if any)"
    )


def infer() -> Parser:
    parser = Parser("infer", "Find the texts in images.")
    parser.add(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="files, folders, archives, URLs or quoted patterns",
    )
    parser.add(
        "--config", help="config file, or its name; without it the model of the package is used"
    )
    parser.add(
        "--checkpoint",
        help="file or URL, of this project, MMOCR or MhLiao/DB; or, without a config, small, "
        "turned or tiny (the package's models; turned and tiny find text in any direction), a file "
        "of dbnet export, another project's ONNX file, a folder of dbnet publish --hub, or "
        "hf://OWNER/NAME",
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
        choices=("json", *PART_FORMATS, *WRITTEN),
        default="json",
        help="json: results.json and drawings; jsonl, parquet: rows in parts of 100 images at "
        "most, for any number of them; else the files of a labelling tool, to be corrected there "
        "(default %(default)s, with --ray jsonl)",
    )
    share_parts(parser)
    parser.add(
        "--rank",
        action="store_true",
        help="write rank.csv alone: the images by how much the model doubts them, those to label "
        "first on top",
    )
    parser.add(
        "--crops",
        **DIR,
        help="new folder for a PNG per text, upright and flat: IMAGE_N.png is its N-th polygon "
        "in results.json, counted from 0",
    )
    parser.add("--batch-size", default=1, **NUMBER, help="images at once (default 1)")
    share_network(parser)
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
    parser.add("--calibrate", **DIR, help="folder of training images, for int8")
    parser.add(
        "--layout",
        choices=LAYOUTS,
        default="nchw",
        help="opencv: for cv2.dnn.TextDetectionModel_DB, of a fixed size (default %(default)s)",
    )
    parser.add(
        "--size",
        **SIZE,
        help="with --layout opencv: multiples of 32 (default: the config's test size)",
    )
    parser.add("--opset", **NUMBER, help="of ONNX (default: the oldest that fits)")
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
        default=8,
        **NUMBER,
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
        "demo", "Find the texts in images on a page in the browser. Needs the extra [demo]."
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
    parser.add("--checkpoint", help="as for dbnet infer")
    share_network(parser)
