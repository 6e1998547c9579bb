from mmcv import transforms
from mmcv.image import imresize, rescale_size

from dbnet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class Resize(transforms.Resize):
    """mmcv's `Resize`, but each side keeps a pixel: a line of pixels does not end a test.

    Registered in place of mmcv's class of that name.
    """

    def _resize_img(self, results: dict) -> None:
        height, width = results["img"].shape[:2]
        scale = results["scale"]
        size = rescale_size((width, height), scale) if self.keep_ratio else scale
        size = tuple(max(side, 1) for side in size)
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

    def _resize_img(self, results: dict) -> None:
        sides = sorted(results["img"].shape[:2], reverse=True)
        bounds = sorted(results["scale"], reverse=True)
        results["scale"] = tuple(
            min(bound, max(round(side * self.max_scale), 1)) for bound, side in zip(bounds, sides)
        )
        super()._resize_img(results)
