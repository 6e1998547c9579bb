"""The network, the losses and the postprocessor against stored outputs of MMOCR 1.0.1.

`benchmarks/make_mmocr_reference.py` made the files and holds the formulas of weights and inputs.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.make_mmocr_reference import (
    FEATURES,
    OUTLINES,
    formula_image,
    formula_prob_map,
    formula_targets,
    formula_weights,
    sample,
)
from dbnet.config.load import load_config
from dbnet.models import DBPostprocessor
from dbnet.registry import MODELS

DATA = Path(__file__).parent / "data"
CONFIGS = {  # with MMOCR 1.x's conventions: the reference of the network
    "dbnet_r18_fpnc_1200e_icdar2015": "r18",
    "dbnet_r18_fpnc_1200e_totaltext": "r18",
    "dbnet_r18_fpnc_100k_synthtext": "r18",
    "dbnet_r50_fpnc_1200e_icdar2015": "r50",
    "dbnet_r50dcnv2_fpnc_1200e_icdar2015": "r50dcnv2",
    "dbnet_r50dcnv2_fpnc_100k_synthtext": "r50dcnv2",
    "dbnet_r50-oclip_fpnc_1200e_icdar2015": "r50-oclip",
    "dbnetpp_r50_fpnc_1200e_icdar2015": "pp_r50",
    "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015": "pp_r50dcnv2",
    "dbnetpp_r50dcnv2_fpnc_100k_synthtext": "pp_r50dcnv2",
    "dbnetpp_r50-oclip_fpnc_1200e_icdar2015": "pp_r50-oclip",
}
CASES = [*((config, reference, {}) for config, reference in CONFIGS.items())]
CASES.append(("dbnet_r50dcnv2_fpnc_1200e_icdar2015", "r50dcnv2_caffe", dict(style="caffe")))


def build(config, backbone):
    settings = load_config(config).model
    settings.backbone.update(init_cfg=None, **backbone)
    model = MODELS.build(settings)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    model.load_state_dict(formula_weights(shapes))
    return model.eval()


@torch.no_grad()
def outputs(model):
    image = torch.from_numpy(formula_image().transpose(2, 0, 1).copy())[None]
    features = model.backbone(model.data_preprocessor(dict(inputs=image))["inputs"])
    neck = model.neck(features)
    maps = model.det_head(neck)
    losses = model.loss_module(maps, formula_targets())
    return dict(zip(FEATURES, features), neck=neck) | maps | losses


@pytest.mark.parametrize(("config", "name", "backbone"), CASES)
def test_every_map_and_loss_is_mmocrs(config, name, backbone):
    found = outputs(build(config, backbone))
    with np.load(DATA / f"mmocr_reference_{name}.npz") as expected:
        backbone_only = FEATURES if name.startswith("pp_") else ()  # in the file of the DBNet
        assert set(expected) == set(found) - set(backbone_only)
        for key in expected:
            # k = 50 and an exponential of up to 50 stand between the maps and `binary_map`.
            tolerance = 1e-4 if key == "binary_map" else 2e-5 * max(1, abs(expected[key]).max())
            np.testing.assert_allclose(
                sample(found[key]), expected[key], rtol=0, atol=tolerance, err_msg=key
            )


def test_the_reference_tells_the_styles_apart():
    with (
        np.load(DATA / "mmocr_reference_r50dcnv2.npz") as pytorch,
        np.load(DATA / "mmocr_reference_r50dcnv2_caffe.npz") as caffe,
    ):
        for key in ("c3", "c4", "c5", "neck", "prob_map", "thresh_map", "binary_map"):
            assert abs(pytorch[key] - caffe[key]).max() > 0.01, key
        np.testing.assert_array_equal(pytorch["c2"], caffe["c2"])  # stage 1 has stride 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("r50", "r50-oclip"), ("r50", "pp_r50"), ("r50-oclip", "pp_r50-oclip"), ("r50", "r50dcnv2")],
)
def test_the_reference_tells_networks_apart(one, other):
    with (
        np.load(DATA / f"mmocr_reference_{one}.npz") as first,
        np.load(DATA / f"mmocr_reference_{other}.npz") as second,
    ):
        for key in ("neck", "prob_map", "thresh_map", "binary_map"):
            assert abs(first[key] - second[key]).max() > 0.01, key


@pytest.mark.parametrize("kind", OUTLINES)
@pytest.mark.parametrize("scale_factor", [(1.0, 1.0), (0.5, 0.8)])
def test_polygons_are_mmocrs(kind, scale_factor):
    """At scale 1 vertex by vertex; else less the shift by half a pixel, `(x + 0.5) / s - 0.5`."""
    postprocessor = DBPostprocessor(**OUTLINES[kind])
    prob_map = torch.from_numpy(formula_prob_map())[None]
    found = postprocessor(prob_map, [dict(scale_factor=scale_factor)])[0]
    with np.load(DATA / "mmocr_reference_postprocessor.npz") as expected:
        lengths, vertices = expected[f"{kind}_lengths"], expected[f"{kind}_vertices"]
        assert [len(polygon) for polygon in found["polygons"]] == lengths.tolist()
        np.testing.assert_allclose(found["scores"], expected[f"{kind}_scores"], atol=1e-6)
    on_map = (np.concatenate(found["polygons"]) + 0.5) * np.array(scale_factor) - 0.5
    np.testing.assert_allclose(on_map, vertices, rtol=0, atol=1e-3)


def test_max_candidates_lacks_mmocrs_off_by_one():
    prob_map = torch.from_numpy(formula_prob_map())[None]
    meta = [dict(scale_factor=(1.0, 1.0))]
    regions = len(DBPostprocessor(max_candidates=10**6)(prob_map, meta)[0]["polygons"])
    kept = [len(DBPostprocessor(max_candidates=n)(prob_map, meta)[0]["polygons"]) for n in (0, 1)]
    assert regions > 1
    assert kept[0] == 0  # MMOCR: `i > max_candidates`, so one region would be looked at
    assert kept[1] <= 1
