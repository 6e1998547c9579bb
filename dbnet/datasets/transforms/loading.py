"""What every pipeline begins and ends with: load an image, resize it, pack the sample."""

import cv2
import numpy as np
import torch
from mmcv import transforms
from mmcv.image import imresize
from mmcv.transforms import BaseTransform

from dbnet.images import read_image
from dbnet.registry import TRANSFORMS
from dbnet.resizing import fitted_size


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode the image at `img_path`, unless the dataset's cache provides it as `img`.

    The EXIF orientation is ignored, as the annotations of ICDAR2015 do. Adds `img` (H, W, 3) uint8
    BGR, `ori_shape` and `img_shape` (H, W).
    """

    def transform(self, results: dict) -> dict:
        image = results["img"] if "img" in results else read_image(results["img_path"])
        return {**results, "img": image, "ori_shape": image.shape[:2], "img_shape": image.shape[:2]}


@TRANSFORMS.register_module()
class Resize(transforms.Resize):
    """mmcv's `Resize`, but each side keeps a pixel: a line of pixels does not end a test.

    Registered in place of mmcv's class of that name.
    """

    max_scale: float | None = None

    def _resize_img(self, results: dict) -> None:
        height, width = results["img"].shape[:2]
        size = fitted_size((width, height), results["scale"], self.keep_ratio, self.max_scale)
        results["img"] = imresize(
            results["img"], size, interpolation=self.interpolation, backend=self.backend
        )
        results["img_shape"] = results["img"].shape[:2]
        results["scale_factor"] = (size[0] / width, size[1] / height)
        results["keep_ratio"] = self.keep_ratio


@TRANSFORMS.register_module()
class LimitedResize(Resize):
    """`Resize` with the ratio kept, which enlarges an image no more than so many times.

    A detector that has seen texts at certain scales finds none in a picture enlarged far beyond.

    Args:
        scale: Long and short side to fit into, in pixels.
        max_scale: Greatest factor.
    """

    def __init__(self, scale: tuple[int, int], max_scale: float) -> None:
        super().__init__(scale=scale, keep_ratio=True)
        self.max_scale = max_scale


@TRANSFORMS.register_module()
class PackTextDetInputs(BaseTransform):
    """Turn a sample into tensors and the facts that go with them; the last of every pipeline.

    Returns a new dict:
        inputs: (3, H, W) uint8 BGR.
        targets: The four (H, W) maps, in training.
        metas: `img_path`, `ori_shape` and `img_shape` (H, W), `scale_factor` (w, h), and, without
            targets, `gt_polygons`, in pixels of the original image, `gt_ignored` and
            `gt_num_chars`, see `Entry`.
    """

    def transform(self, results: dict) -> dict:
        image = np.empty((3, *results["img"].shape[:2]), dtype=np.uint8)
        cv2.split(results["img"], list(image))  # five times as fast as a transposed copy
        metas = dict(
            img_path=results["img_path"],
            ori_shape=results["ori_shape"],
            img_shape=results["img_shape"],
            scale_factor=results.get("scale_factor", (1.0, 1.0)),
        )
        if "targets" in results:
            targets = {name: torch.from_numpy(map_) for name, map_ in results["targets"].items()}
            return dict(inputs=torch.from_numpy(image), targets=targets, metas=metas)
        metas.update(gt_polygons=results["polygons"], gt_ignored=results["ignored"])
        metas["gt_num_chars"] = results.get("num_chars", ())
        return dict(inputs=torch.from_numpy(image), metas=metas)
