from mmcv.transforms import BaseTransform

from dbnet.images import read_image
from dbnet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode the image at `img_path`, unless the dataset's cache provides it as `img`.

    The EXIF orientation is ignored, as the annotations of ICDAR2015 do. Adds `img` (H, W, 3) uint8
    BGR, `ori_shape` and `img_shape` (H, W).
    """

    def transform(self, results: dict) -> dict:
        image = results["img"] if "img" in results else read_image(results["img_path"])
        return {**results, "img": image, "ori_shape": image.shape[:2], "img_shape": image.shape[:2]}
