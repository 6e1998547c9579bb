"""Every model of the zoo's configs, with random weights, in ONNX Runtime and OpenVINO."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import dbnet
from dbnet.apis.torch_network import test_pipeline as pipeline_of
from dbnet.config.load import load_config
from dbnet.deploy import agreement
from dbnet.deploy.export import describe, export
from dbnet.deploy.formats import Request
from dbnet.synthetic import draw_scene

MODELS = (
    "dbnet_r18_fpnc_1200e_icdar2015",
    "dbnet_r50_fpnc_1200e_icdar2015",
    "dbnet_r50-oclip_fpnc_1200e_icdar2015",
    "dbnet_r18dcn_fpnc_1200e_icdar2015_mhliao",
    "dbnet_r50dcnv2_fpnc_1200e_icdar2015",
    "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03",
    "dbnetpp_r50_fpnc_1200e_icdar2015",
    "dbnetpp_r50-oclip_fpnc_1200e_icdar2015",
    "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015",
)


# Half a minute each. By default one for each kind of part that exporters have trouble with:
# modulated deformable convolutions in both runtimes, oCLIP's poolings with DBNet++'s attention.
USUAL = [(MODELS[4], ".onnx"), (MODELS[3], ".xml"), (MODELS[7], ".onnx")]
ALL = [(name, suffix) for name in MODELS for suffix in (".onnx", ".xml")]
EXPORTS = [
    pytest.param(*export, marks=() if export in USUAL else pytest.mark.zoo) for export in ALL
]


@torch.no_grad()
def settle(detector, inputs):
    """Give random weights the batch norms and the spread of logits that training gives.

    Else features grow from layer to layer, and their rounding is all that the map shows.
    """
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    logits_of(detector, inputs)
    detector.eval()
    detector.det_head.binarize[-1].weight.div_(logits_of(detector, inputs).std())


def logits_of(detector, inputs):
    """Logits (N, 1, H, W) in the precision of the weights."""
    features = detector.neck(detector.backbone(inputs))
    return detector.det_head.binarize(features)


@torch.no_grad()
def rounding(detector, inputs):
    """Largest and mean difference of PyTorch's own map to that of float64.

    DBNet++'s random attention multiplies what rounding does: its maps differ by 1e-2 at single
    pixels, and no runtime can do better than PyTorch.
    """
    exact = logits_of(copy.deepcopy(detector).double(), inputs.double()).sigmoid()
    difference = (logits_of(detector, inputs).sigmoid() - exact).abs()
    return difference.max().item(), difference.mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "suffix"), EXPORTS)
def test_a_model_of_the_zoo(tmp_path, monkeypatch, name, suffix):
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    config = load_config(name)
    torch.manual_seed(0)
    detector = dbnet.init_detector(config)
    image = draw_scene(np.random.default_rng(0), (480, 352), (6, 10)).image
    x = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
    inputs = detector.data_preprocessor(dict(inputs=x))["inputs"]
    settle(detector, inputs)
    with torch.no_grad():
        assert logits_of(detector, inputs).sigmoid().std() > 0.1  # an even map agrees by chance
    largest, mean = rounding(detector, inputs)
    monkeypatch.setitem(agreement.LARGEST, "fp32", max(1e-4, 5 * largest))
    monkeypatch.setitem(agreement.MEAN, "fp32", max(1e-6, 5 * mean))
    request = Request(tmp_path / f"model{suffix}")
    metadata = describe(detector, name, ("none", "0"), pipeline_of(config), request)
    metadata = replace(metadata, resize=dict(scale=[160, 120]))
    exported = export(detector, metadata, request, [image])
    found = exported.agreement.largest
    print(f"ZOO {name}{suffix} {found:.1e}, PyTorch to float64 {largest:.1e}")  # noqa: T201
    assert all(path.exists() for path in exported.files)
