"""Small pictures of words, made by the tests themselves, with a config that trains on them."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from dbnet.checkpoints.index import config_folder

WORDS = ("TEXT", "Cafe", "OPEN", "exit", "SALE", "Hotel")

CONFIG = """
_base_ = ["{configs}/textdet/dbnet/dbnet_r18_fpnc_100e_icdar2015_scratch.py"]
_train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomAffineCrop", size=(128, 128), max_angle=5, min_crop_ratio=0.8),
    dict(type="ColorJitter", brightness=0.1, saturation=0.2),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(128, 128), keep_ratio=True),
    dict(type="PackTextDetInputs"),
]
_loader = dict(num_workers={workers}, persistent_workers={workers} > 0)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(data_root="{root}", ann_file="train.json", pipeline=_train_pipeline),
    **_loader,
)
val_dataloader = dict(
    dataset=dict(data_root="{root}", ann_file="train.json", pipeline=_test_pipeline), **_loader
)
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=5)]
train_cfg = dict(max_epochs={epochs}, val_interval={epochs})
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval={save_every}))
{model}
{extra}
"""

# 16 thousand parameters in place of 12 million: what happens around a step needs no more.
TINY = """
custom_imports = dict(imports=["tiny_net"])
model = dict(
    backbone=dict(_delete_=True, type="TinyNet"),
    neck=dict(lateral_channels=16, out_channels=4),
)
"""


def draw_scene(rng: np.random.Generator, side: int = 128) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw two words of white on dark; return the BGR image and their polygons."""
    image = np.full((side, side, 3), rng.integers(20, 90, 3), np.uint8)
    polygons = []
    for row in range(2):
        word = WORDS[rng.integers(len(WORDS))]
        scale = rng.uniform(0.8, 1.0)
        (width, height), base = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
        x, y = int(rng.integers(4, side - width - 4)), int(row * 62 + rng.integers(32, 50))
        cv2.putText(image, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, (240, 240, 240), 2)
        left, top, right, bottom = x - 2, y - height - 3, x + width + 2, y + base
        polygons.append(np.float32([[left, top], [right, top], [right, bottom], [left, bottom]]))
    return image, polygons


def write_scenes(root: Path, count: int, seed: int = 0) -> Path:
    """Write `count` scenes and `train.json` below `root`."""
    rng = np.random.default_rng(seed)
    data_list = []
    for i in range(count):
        image, polygons = draw_scene(rng)
        cv2.imwrite(str(root / f"img_{i}.png"), image)
        instances = [dict(polygon=p.flatten().tolist(), ignore=False) for p in polygons]
        data_list.append(dict(img_path=f"img_{i}.png", instances=instances))
    (root / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    return root


def write_config(
    root: Path,
    name: str,
    epochs: int,
    workers: int = 0,
    save_every: int = 1,
    extra: str = "",
    tiny: bool = True,
) -> str:
    """Write a config that trains on the scenes below `root`, a tiny network or DBNet_r18."""
    path = root / f"{name}.py"
    shutil.copy(Path(__file__).with_name("tiny_net.py"), root)
    path.write_text(
        CONFIG.format(
            configs=config_folder(),
            root=root,
            epochs=epochs,
            workers=workers,
            save_every=save_every,
            model=TINY if tiny else "",
            extra=extra,
        )
    )
    return str(path)
