import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from dbnet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change brightness and saturation by random factors, in random order.

    The distribution is that of torchvision's `ColorJitter`: factors are uniform in [1 - x, 1 + x].

    Deviation from MMOCR: it runs after the geometric transform, on 640x640 pixels rather than on
    the whole photo. Both are affine in the colours, so they commute up to rounding and clipping.

    Args:
        brightness: Greatest change of the factor on all channels.
        saturation: Greatest change of the factor on the difference to grey.
    """

    def __init__(self, brightness: float, saturation: float) -> None:
        self.brightness = brightness
        self.saturation = saturation

    def transform(self, results: dict) -> dict:
        rng: np.random.Generator = results["rng"]
        brightness = rng.uniform(1 - self.brightness, 1 + self.brightness)
        saturation = rng.uniform(1 - self.saturation, 1 + self.saturation)
        image = results["img"]
        if rng.random() < 0.5:
            image = adjust_saturation(adjust_brightness(image, brightness), saturation)
        else:
            image = adjust_brightness(adjust_saturation(image, saturation), brightness)
        return {**results, "img": image}


def adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Multiply all values of a uint8 image by `factor`, clipped to 255."""
    table = np.minimum(np.arange(256) * factor + 0.5, 255).astype(np.uint8)
    return cv2.LUT(image, table)


def adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """Scale the difference of a BGR uint8 image (H, W, 3) to its grey version by `factor`."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(image, factor, grey, 1 - factor, 0)
