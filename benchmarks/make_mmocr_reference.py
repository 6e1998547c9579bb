"""Make `tests/data/mmocr_reference_*.npz`: outputs of MMOCR 1.0.1 that the tests compare with.

    python benchmarks/make_mmocr_reference.py tests/data

needs MMOCR 1.0.1 and mmdet importable, with an `mmcv.ops` that has `ModulatedDeformConv2dPack`
(compiled, or a stand-in under the same parameter names). The tests need none of them: weights,
image, targets and probability map follow from formulas in integers, the same on any platform, so
only samples of MMOCR's outputs are stored.
"""

import argparse
import copy
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

DCN = dict(
    dcn=dict(type="DCNv2", deform_groups=1, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)
# Name of the reference file: MMOCR's backbone; in front of it "pp_" for DBNet++.
BACKBONES = {
    "r18": dict(type="mmdet.ResNet", depth=18, style="caffe"),
    "r50": dict(type="mmdet.ResNet", depth=50, style="pytorch"),
    "r50dcnv2": dict(type="mmdet.ResNet", depth=50, style="pytorch", **DCN),
    "r50dcnv2_caffe": dict(type="mmdet.ResNet", depth=50, style="caffe", **DCN),
    "r50-oclip": dict(type="mmocr.CLIPResNet"),
}
NETWORKS = (*BACKBONES, "pp_r50", "pp_r50dcnv2", "pp_r50-oclip")
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
# Name of the outlines in the reference: settings of the postprocessor. DBNet++ has the fine one.
OUTLINES = {
    "quad": dict(text_repr_type="quad"),
    "poly": dict(text_repr_type="poly"),
    "fine_quad": dict(text_repr_type="quad", epsilon_ratio=0.002),
}
FEATURES = ("c2", "c3", "c4", "c5")
SAMPLES = 512  # values kept of each map


def uniform(name: str, count: int) -> np.ndarray:
    """Give `count` float64 numbers in [0, 1) that depend on `name` and their index alone.

    The mixing is MurmurHash3's last step.
    """
    x = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9)
    x ^= np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x / 2.0**32


def formula_weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Make a state dict with features of moderate size and deformations of some pixels.

    Args:
        shapes: Shape of every entry, by its name in MMOCR 1.x.
    """
    return {name: torch.from_numpy(_formula_weight(name, shape)) for name, shape in shapes.items()}


def _formula_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(1, dtype=np.int64)
    values = uniform(name, int(np.prod(shape))).reshape(shape)
    signed = 2 * values - 1
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        result = 0.5 + values  # of a batch norm
    elif "conv_offset" in name:
        fan_in = np.prod(shape[1:])
        result = 1.5 * signed if len(shape) == 1 else signed * np.sqrt(0.3 / fan_in)
    elif len(shape) == 4:
        transposed = name.startswith("det_head") and not name.endswith(".0.weight")
        fan_in = shape[0] if transposed else np.prod(shape[1:])
        gain = 0.7 if name.startswith("backbone") else 1.0
        result = gain * signed * np.sqrt(3 / fan_in)
    else:
        result = 0.3 * signed  # biases and running means
    return result.astype(np.float32)


def formula_image(size: int = 64) -> np.ndarray:
    """Make a picture (size, size, 3) uint8, BGR, of 8x8 patches of noise."""
    coarse = uniform("image", (size // 8) ** 2 * 3).reshape(size // 8, size // 8, 3)
    fine = uniform("noise", size * size * 3).reshape(size, size, 3)
    image = 0.7 * coarse.repeat(8, axis=0).repeat(8, axis=1) + 0.3 * fine
    return (255 * image).astype(np.uint8)


def formula_targets(size: int = 64) -> dict[str, Tensor]:
    """Make the four target maps of one image, (1, size, size): two texts and an ignored one."""
    y, x = np.mgrid[:size, :size]
    shrink = ((x > 8) & (x < 40) & (y > 10) & (y < 20)) | ((x > 30) & (x < 60) & (y > 40))
    band = ((x > 4) & (x < 44) & (y > 6) & (y < 24)) | ((x > 26) & (y > 36))
    maps = dict(
        shrink_map=shrink,
        shrink_mask=~((x < 20) & (y > 50)),
        thresh_map=0.3 + 0.4 * uniform("thresh", size * size).reshape(size, size),
        thresh_mask=band,
    )
    return {key: torch.from_numpy(value.astype(np.float32))[None] for key, value in maps.items()}


def formula_prob_map(height: int = 160, width: int = 224) -> np.ndarray:
    """Make a probability map (height, width) float32 that holds the postprocessor's cases.

    Slanted texts of several sizes and probabilities, a curved one, one with a hole, one at the
    edge, a faint and a thin one, and specks of noise.
    """
    y, x = np.mgrid[:height, :width].astype(np.float64)
    prob_map = 0.2 * uniform("background", height * width).reshape(height, width)
    for cx, cy, slope, half_width, half_height, value in [
        (40, 20, 0.1, 30, 6, 0.9),
        (120, 25, -0.3, 35, 8, 0.7),
        (190, 30, 0.0, 60, 9, 0.8),  # beyond the right edge
        (60, 75, 0.6, 25, 4, 0.6),
        (30, 140, 0.05, 20, 5, 0.31),  # faint
        (150, 145, 0.02, 50, 0.6, 0.95),  # thin
    ]:
        inside = abs(x - cx) < half_width
        inside &= abs(y - cy - slope * (x - cx)) < half_height
        prob_map = np.where(inside, value - 0.1 * prob_map, prob_map)
    arch = abs((x - 150) ** 2 / 30 + y - 90) < 7
    prob_map = np.where(arch & (abs(x - 150) < 30), 0.85 - 0.1 * prob_map, prob_map)
    ring = abs(np.maximum(abs(x - 90), abs(y - 125)) - 12) < 4
    prob_map = np.where(ring, 0.75 - 0.1 * prob_map, prob_map)
    specks = uniform("specks", height * width).reshape(height, width) > 0.995
    return np.where(specks, 0.9, prob_map).astype(np.float32)


def sample(values: Tensor) -> np.ndarray:
    """Keep about `SAMPLES` values of a tensor, spread over it by an odd step."""
    flat = values.detach().float().flatten().numpy()
    return flat[:: max(1, len(flat) // SAMPLES) | 1]


def build_mmocr(name: str) -> torch.nn.Module:
    """Build MMOCR's detector, in eval mode, with the weights of the formula."""
    from mmocr.registry import MODELS

    backbone = copy.deepcopy(BACKBONES[name.removeprefix("pp_")])  # mmdet changes it
    channels = [64, 128, 256, 512] if name == "r18" else [256, 512, 1024, 2048]
    neck = dict(type="mmocr.FPNC", in_channels=channels, lateral_channels=256)
    if name.startswith("pp_"):
        neck.update(asf_cfg=dict(attention_type="ScaleChannelSpatial"))
    detector = MODELS.build(
        dict(
            type="mmocr.DBNet",
            backbone=backbone,
            neck=neck,
            det_head=dict(
                type="mmocr.DBHead",
                in_channels=256,
                module_loss=dict(type="mmocr.DBModuleLoss"),
                postprocessor=dict(type="mmocr.DBPostprocessor", text_repr_type="quad"),
            ),
            data_preprocessor=dict(
                type="mmocr.TextDetDataPreprocessor", mean=MEAN, std=STD, bgr_to_rgb=True
            ),
        )
    )
    shapes = {key: tuple(value.shape) for key, value in detector.state_dict().items()}
    detector.load_state_dict(formula_weights(shapes))
    return detector.eval()


@torch.no_grad()
def network_reference(name: str) -> dict[str, np.ndarray]:
    """Run MMOCR's network and losses; give samples of every map and the three weighted losses."""
    detector = build_mmocr(name)
    image = torch.from_numpy(formula_image().transpose(2, 0, 1).copy())
    inputs = detector.data_preprocessor(dict(inputs=[image], data_samples=None))["inputs"]
    features = detector.backbone(inputs)
    neck = detector.neck(features)
    logits, thresh, binary, prob = detector.det_head(neck, mode="both")
    # The backbone of a DBNet++ is in the file of the DBNet.
    maps = dict(neck=neck) if name.startswith("pp_") else dict(zip(FEATURES, features), neck=neck)
    maps.update(prob_logits=logits, prob_map=prob, thresh_map=thresh, binary_map=binary)
    targets, loss = formula_targets(), detector.det_head.module_loss
    shrink = targets["shrink_map"], targets["shrink_mask"]
    losses = dict(
        loss_prob=loss.weight_prob * loss.loss_prob(logits, *shrink),
        loss_thr=loss.weight_thr
        * loss.loss_thr(thresh, targets["thresh_map"], targets["thresh_mask"]),
        loss_db=loss.loss_db(binary, *shrink),
    )
    return {key: sample(value) for key, value in (maps | losses).items()}


def postprocessor_reference() -> dict[str, np.ndarray]:
    """Run MMOCR's postprocessor on the formula's map, with the settings of `OUTLINES`."""
    from mmocr.registry import MODELS
    from mmocr.structures import TextDetDataSample

    result = {}
    for kind, settings in OUTLINES.items():
        postprocessor = MODELS.build(dict(type="mmocr.DBPostprocessor", **settings))
        prob_map = torch.from_numpy(formula_prob_map())
        found = postprocessor.get_text_instances(prob_map, TextDetDataSample()).pred_instances
        polygons = [np.asarray(p, np.float32).reshape(-1, 2) for p in found.polygons]
        result[f"{kind}_scores"] = np.array(found.scores, dtype=np.float32)
        result[f"{kind}_lengths"] = np.array([len(p) for p in polygons])
        result[f"{kind}_vertices"] = np.concatenate(polygons)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the reference tensors of the tests.")
    parser.add_argument("out", type=Path, help="folder")
    out = parser.parse_args().out
    for name in NETWORKS:
        np.savez_compressed(out / f"mmocr_reference_{name}.npz", **network_reference(name))
    np.savez_compressed(out / "mmocr_reference_postprocessor.npz", **postprocessor_reference())


if __name__ == "__main__":
    from mmengine.registry import DefaultScope
    from mmocr.utils import register_all_modules

    register_all_modules()
    DefaultScope.get_instance("reference", scope_name="mmocr")
    main()
