"""Compare PP-OCRv6's small detector here with ONNX Runtime, on the same images.

    pip install onnx onnxruntime
    python benchmarks/ppocr_numerics.py PP-OCRv6_det_small.onnx FOLDER_OF_IMAGES [--images 20]

Prints the largest difference of the probability maps, of ours to ONNX Runtime's and of both to ours
in float64, which tells whose rounding it is.
"""

import argparse
import copy
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

import dbnet
from dbnet.checkpoints.ppocr import read_ppocr_onnx
from dbnet.utils.text import natural_key

CONFIG = "dbnet_ppocrv6-small_3k_icdar2015"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare with ONNX Runtime.")
    parser.add_argument("onnx", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--sizes", nargs="+", default=["1312,736", "576,320"], metavar="W,H")
    args = parser.parse_args()
    model = dbnet.init_detector(CONFIG)
    model.load_state_dict(read_ppocr_onnx(args.onnx), strict=False)
    exact = copy.deepcopy(model).double()
    session = onnxruntime.InferenceSession(str(args.onnx))
    paths = sorted(args.folder.glob("*.jpg"), key=lambda path: natural_key(path.name))
    for size in args.sizes:
        width, height = map(int, size.split(","))
        worst = np.zeros(3)
        for path in paths[: args.images]:
            image = cv2.resize(cv2.imread(str(path)), (width, height))
            batch = dict(inputs=torch.from_numpy(image).permute(2, 0, 1)[None].contiguous())
            inputs = model.data_preprocessor(batch)["inputs"].contiguous()
            theirs = session.run(None, {"x": inputs.numpy()})[0][:, 0]
            with torch.no_grad():
                ours = model(inputs).numpy()
                features = exact.neck(exact.backbone(inputs.double()))
                truth = exact.det_head.binarize(features).sigmoid().squeeze(1).numpy()
            pairs = ((ours, theirs), (ours, truth), (theirs, truth))
            worst = np.maximum(worst, [np.abs(a - b).max() for a, b in pairs])
        print(
            f"{size}, {min(args.images, len(paths))} images: ours to ONNX Runtime {worst[0]:.1e}, "
            f"ours to float64 {worst[1]:.1e}, ONNX Runtime to float64 {worst[2]:.1e}"
        )


if __name__ == "__main__":
    main()
