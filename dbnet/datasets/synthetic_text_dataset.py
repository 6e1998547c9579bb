from collections.abc import Callable, Sequence
from typing import get_args

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from dbnet.datasets.samplers import SampleKey, as_sample_key
from dbnet.errors import UserError
from dbnet.registry import DATASETS
from dbnet.synthetic.backgrounds import folder_photos
from dbnet.synthetic.fonts import builtin_fonts, folder_fonts
from dbnet.synthetic.page import draw_page
from dbnet.synthetic.scene import Level, Scene, draw_scene
from dbnet.utils.memory import keep_freed_memory

SMALLEST_SIDE = 32  # pixels; less has no room for a word


@DATASETS.register_module()
class SyntheticTextDataset(Dataset):
    """Scene-text-like images that are drawn when they are asked for; nothing is read or stored.

    The scene is a function of (`seed`, index) alone and the same in every epoch. A sample enters
    the pipeline, which needs no `LoadImage`, as a dict with `img` (H, W, 3) uint8 BGR, `img_path`
    (a name without a file), `ori_shape` and `img_shape` (H, W), `scale_factor`, `polygons` (list
    of (2 K, 2) float32 arrays, pixels), `ignored` (list of bool), `texts` (list of str) and `rng`,
    a random generator that depends on the sampler's (seed, epoch, index).

    Args:
        size: (W, H) of the images in pixels.
        length: Number of images.
        seed: Another one gives other scenes.
        num_words: Least and largest number of words per image, as far as there is room.
        difficulty: 0 for few large, straight words of high contrast on calm grounds, 1 for
            incidental scene text: small, bent, turned, blurred, of low contrast, amid clutter.
        level: A polygon per "word", or per "line" of words.
        font_dir: Folder of .ttf and .otf files to use instead of the fonts that matplotlib and
            Pillow bring along.
        background_dir: Folder of photos without text to use instead of drawn backgrounds.
        page_share: Share of images that show a printed page full of words, in [0, 1].
        pipeline: Configs of the transforms.
        test_mode: For validation and tests, whose samples do not depend on the epoch: plain
            samplers will do.
    """

    metainfo = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(
        self,
        size: tuple[int, int] = (256, 256),
        length: int = 1000,
        seed: int = 0,
        num_words: tuple[int, int] = (2, 6),
        difficulty: float = 0.3,
        level: Level = "word",
        font_dir: str | None = None,
        background_dir: str | None = None,
        page_share: float = 0.0,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
    ) -> None:
        check_arguments(size, length, seed, num_words, difficulty, level, page_share)
        self.size, self.num_words = (size[0], size[1]), (num_words[0], num_words[1])
        self.length, self.seed, self.test_mode = length, seed, test_mode
        self.difficulty, self.level, self.page_share = difficulty, level, page_share
        self.fonts = builtin_fonts() if font_dir is None else folder_fonts(font_dir)
        self.photos = () if background_dir is None else folder_photos(background_dir)
        self.pipeline = Compose(list(pipeline))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | SampleKey) -> dict:
        keep_freed_memory()
        key = as_sample_key(key, self.test_mode)
        scene = self.scene(key.item)
        shape = scene.image.shape[:2]
        sample = dict(
            img=scene.image,
            img_path=self.image_name(key.item),
            ori_shape=shape,
            img_shape=shape,
            scale_factor=(1.0, 1.0),
            polygons=scene.polygons,
            ignored=scene.ignored,
            texts=scene.texts,
            rng=np.random.default_rng(list(key)),
        )
        return self.pipeline(sample)

    def scene(self, index: int) -> Scene:
        """Draw the image and text of an index, before any transform."""
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} of {self.length} images")
        rng = np.random.default_rng([self.seed, index])
        if self.page_share and rng.random() < self.page_share:
            return draw_page(rng, self.size, self.difficulty, self.level, self.fonts)
        return draw_scene(
            rng, self.size, self.num_words, self.difficulty, self.level, self.fonts, self.photos
        )

    def image_name(self, index: int) -> str:
        """Name the image of an index."""
        return f"synthetic_{self.seed}_{index:06d}.png"


def check_arguments(
    size: tuple[int, int],
    length: int,
    seed: int,
    num_words: tuple[int, int],
    difficulty: float,
    level: str,
    page_share: float,
) -> None:
    """Refuse what no scene can be drawn for."""
    rules = {
        f"size={size}: give (W, H), each at least {SMALLEST_SIDE}": is_pair(size)
        and min(size) >= SMALLEST_SIDE,
        f"length={length}: give at least 1": length >= 1,
        f"seed={seed}: give 0 or more": seed >= 0,
        f"num_words={num_words}: give the least and the largest number": is_pair(num_words)
        and 0 <= num_words[0] <= num_words[1],
        f"difficulty={difficulty}: give a number in [0, 1]": 0 <= difficulty <= 1,
        f"page_share={page_share}: give a number in [0, 1]": 0 <= page_share <= 1,
        f'level="{level}": give "word" or "line"': level in get_args(Level),
    }
    for message, holds in rules.items():
        if not holds:
            raise UserError(f"SyntheticTextDataset {message}")


def is_pair(value: object) -> bool:
    """Check whether a config's value is two integers."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(number, int) for number in value)
    )
