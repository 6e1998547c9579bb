"""What the commands take that are about checkpoints."""

import argparse
from pathlib import Path

from dbnet.checkpoints import FORMATS
from dbnet.cli.options.parser import DIR, SIZE, Parser
from dbnet.cli.options.values import as_share

ZOO_NAME = "of the model, an alias or the first digits of the file's hash"


def model_info() -> Parser:
    parser = Parser("model-info", "Print parameters, FLOPs and speed of a config's model.")
    parser.add("config", help="config file, or its name, or an ONNX file")
    parser.add(
        "--size", default=(640, 640), **SIZE, help="of the image, in pixels (default 640,640)"
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
    parser.add("--out", type=Path, required=True, help="folder for the files")
    parser.add("--fp16", action="store_true", help="half the size, rounded to 11 bits")
    parser.add("--results", type=Path, help="results.json of `dbnet test --out`, for the card")
    parser.add("--data", help="what was trained on and under which licence, for the card")
    parser.add("--license", help="of the weights, such as apache-2.0, for the card")
    parser.add(
        "--average",
        metavar="CHECKPOINT",
        help="write the mean with another checkpoint, such as that which training began with",
    )
    parser.add(
        "--share", type=as_share, default=0.5, metavar="S", help="of --average (default 0.5)"
    )
    parser.add(
        "--hub",
        action="store_true",
        help="write a folder (config, safetensors, card) that can be uploaded to Hugging Face's "
        "hub, and be used by its name: --checkpoint FOLDER or hf://OWNER/NAME",
    )
    return parser


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
    download.add_argument("--out", **DIR, help="folder for a copy (default: none, cache only)")
    return parser
