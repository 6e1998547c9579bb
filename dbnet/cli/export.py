import argparse
import json
import time
from pathlib import Path

from mmengine.config import Config

from dbnet.apis.detector import USED, init_detector
from dbnet.apis.torch_network import test_pipeline
from dbnet.checkpoints.choose import choose_model
from dbnet.checkpoints.read import fetch_checkpoint
from dbnet.cli.console import command
from dbnet.config.check import walk
from dbnet.config.load import load_config
from dbnet.deploy.agreement import BATCHES, SHAPES
from dbnet.deploy.export import Exported, comparison_images, describe, export
from dbnet.deploy.formats import Request, check_request
from dbnet.deploy.metadata import Metadata
from dbnet.images import find_images
from dbnet.remote.paths import join
from dbnet.utils.files import sha256


@command("export")
def main(args: argparse.Namespace) -> int:
    """Export a detector, and print how well it agrees and what to do next."""
    start = time.perf_counter()
    request = Request(*(getattr(args, name) for name in Request._fields))
    check_request(request)
    name, checkpoint = choose_model(args.config, args.checkpoint)
    name = str(name)
    config = load_config(name, args.cfg_options, parts=USED)
    detector = init_detector(config, checkpoint)
    file = fetch_checkpoint(str(checkpoint))
    stem = Path(name).stem
    metadata = describe(detector, stem, (file.name, sha256(file)), test_pipeline(config), request)
    paths = find_images([request.calibrate]) if request.calibrate else test_images(config)
    images, described = comparison_images(paths)
    print(f"{stem}, {metadata.precision}: exporting and comparing on {described}", flush=True)
    exported = export(detector, metadata, request, images)
    seconds = time.perf_counter() - start
    print(*lines(exported, metadata, described, seconds, name), sep="\n")
    return 0


def test_images(config: Config) -> list[str]:
    """List the images of the config's test set, if it is there."""
    for _, node in walk(config.to_dict().get("test_dataloader")):
        if isinstance(node, dict) and isinstance(node.get("ann_file"), str):
            annotation = Path(node.get("data_root") or "") / node["ann_file"]
            if annotation.is_file():
                entries = json.loads(annotation.read_text(encoding="utf-8"))["data_list"]
                return [join(str(annotation.parent), entry["img_path"]) for entry in entries]
    return []


def lines(
    exported: Exported, metadata: Metadata, images: str, seconds: float, name: str
) -> list[str]:
    """Lines for the terminal: agreement, sizes, and the three next commands."""
    agreement, [path, *_] = exported.agreement, exported.files
    sizes = [metadata.size[::-1]] if metadata.size else SHAPES
    shapes = ", ".join(f"{width}x{height}" for height, width in sizes)
    batches = "" if metadata.size else f", batches of {BATCHES[0]} and {BATCHES[-1]}"
    return [
        f"maps: {exported.runtime} and PyTorch differ by {agreement.largest:.1e} at most, "
        f"{agreement.mean:.1e} on average ({shapes}{batches})",
        f"texts: {agreement.agreeing:.1%} agree, of {agreement.texts} in {images}",
        *(f"{file}: {file.stat().st_size / 1e6:.1f} MB" for file in exported.files),
        f"{seconds:.0f} s",
        "next:",
        *next_commands(path, metadata, name),
    ]


def next_commands(path: Path, metadata: Metadata, name: str) -> list[str]:
    """Say what can be done with a file: use, test, and look at it."""
    if metadata.layout == "opencv":
        found = metadata.postprocessor
        return [
            f"  detector = cv2.dnn.TextDetectionModel_DB({str(path)!r})",
            f"  detector.setInputParams(1.0, {metadata.size})",
            f"  detector.setBinaryThreshold({found['bin_thresh']})"
            f".setPolygonThreshold({found['box_thresh']})",
            f"  detector.setUnclipRatio({found['unclip_ratio']})"
            f".setMaxCandidates({found['max_candidates']})",
            '  quads, scores = detector.detect(cv2.imread("photo.jpg"))',
        ]
    return [
        f"  dbnet infer photo.jpg --checkpoint {path} --out found",
        f"  dbnet test {name} {path}    # the last word: hmean, on the config's test set",
        "  https://netron.app shows the graph"
        if path.suffix != ".pt2"
        else f"  torch.export.load({str(path)!r})",
    ]
