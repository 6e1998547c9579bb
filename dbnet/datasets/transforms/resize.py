from mmcv.transforms import Resize

from dbnet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LimitedResize(Resize):
    """mmcv's `Resize` with the ratio kept, which enlarges an image no more than so many times.

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
