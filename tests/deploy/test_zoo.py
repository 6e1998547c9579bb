"""Every model of the zoo's configs, with random weights, in ONNX Runtime and OpenVINO."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import dbnet
from dbnet.apis.torch_network import test_pipeline as pipeline_of
from dbnet.config.load import load_config
from dbnet.deploy.export import describe, export
from dbnet.deploy.formats import Request

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


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_the_zoo(tmp_path, name, suffix):
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    config = load_config(name)
    torch.manual_seed(0)
    detector = dbnet.init_detector(config)
    with torch.no_grad():  # random weights give DBNet++ logits of hundreds, which round coarsely
        detector.det_head.binarize[-1].weight.mul_(0.005)
    request = Request(tmp_path / f"model{suffix}")
    metadata = describe(detector, name, ("none", "0"), pipeline_of(config), request)
    metadata = replace(metadata, resize=dict(scale=[128, 96]))
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    exported = export(detector, metadata, request, [image])
    print(f"ZOO {name}{suffix} {exported.agreement.largest:.1e}")  # noqa: T201
    assert all(path.exists() for path in exported.files)
