"""Learning rates that grow with depth."""

import pytest
from mmengine.optim import build_optim_wrapper

import dbnet
from tests.onnx_graphs import detector, write

CONFIG = "dbnet_ppocr_finetune_icdar2015"


def learning_rates(model, **paramwise):
    settings = dict(
        type="OptimWrapper",
        optimizer=dict(type="AdamW", lr=1.0),
        constructor="DepthDecay",
        paramwise_cfg=paramwise,
    )
    groups = build_optim_wrapper(model, settings).optimizer.param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def test_each_module_learns_more_than_the_one_before(tmp_path):
    model = dbnet.init_detector(CONFIG, write(detector(), tmp_path / "det.onnx"))
    rates = learning_rates(model, depth_decay=0.5)
    # Five convolutions and, before the last, one factor.
    own = list(dict.fromkeys(rate for name, rate in rates.items() if name.startswith("backbone.")))
    assert own == [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert {rate for name, rate in rates.items() if name.startswith("det_head.")} == {1.0}
    first = next(iter(rates)).rpartition(".")[0]
    rates = learning_rates(model, depth_decay=0.5, custom_keys={f"{first}.": dict(lr_mult=0.0)})
    assert rates[f"{first}.weight"] == 0.0 and sorted(set(rates.values()))[1] == 1 / 32


@pytest.mark.parametrize("decay", [None, 2.0, "0.9"])
def test_a_wrong_value(decay, tmp_path):
    model = dbnet.init_detector(CONFIG, write(detector(), tmp_path / "det.onnx"))
    with pytest.raises(ValueError, match=r"depth_decay: .* a number in 0\.\.1"):
        learning_rates(model, depth_decay=decay)


def test_another_backbone():
    model = dbnet.init_detector("dbnet_r18_fpnc_1200e_icdar2015")
    with pytest.raises(ValueError, match="is for the backbone ONNXGraph"):
        learning_rates(model, depth_decay=0.9)
