import pytest
import torch
from torch import nn

from dbnet.models.batch_norm_folding import fold_batch_norms
from dbnet.registry import MODELS

DEFORMABLE = (False, True, True, True)


def detector(depth, stage_with_dcn=(False,) * 4, style="pytorch"):
    """A detector in evaluation mode whose batch norms are far from the identity."""
    model = MODELS.build(
        dict(
            type="DBNet",
            backbone=dict(type="ResNet", depth=depth, stage_with_dcn=stage_with_dcn, style=style),
            neck=dict(type="FPNC", lateral_channels=16, out_channels=8),
            det_head=dict(type="DBHead"),
            loss=dict(type="DBLoss"),
            postprocessor=dict(type="DBPostprocessor"),
        )
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    nn.init.normal_(model.det_head.binarize[6].weight, std=0.5)
    return model.eval()


def norms(model):
    return [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("arguments", [(18,), (50,), (50, DEFORMABLE), (50, DEFORMABLE, "caffe")])
def test_folded_model_gives_the_same_map(arguments):
    model = detector(*arguments)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = model(images)
        assert expected.std() > 0.01
        folded = fold_batch_norms(model)
        torch.testing.assert_close(folded(images), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(model(images), expected, rtol=0, atol=0)


def test_all_batch_norms_are_folded_but_those_of_deformable_convolutions():
    assert len(norms(detector(18))) == 20 + 2 * 2
    assert norms(fold_batch_norms(detector(18))) == []
    assert norms(fold_batch_norms(detector(50))) == []
    kept = norms(fold_batch_norms(detector(50, DEFORMABLE)))
    assert len(kept) == 4 + 6 + 3 and all(name.endswith("bn2") for name in kept)


def test_model_is_left_alone_and_shares_what_is_not_folded():
    model = detector(18)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = fold_batch_norms(model)
    assert len(norms(model)) == 24
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert folded.neck.lateral_convs[0].conv.weight is model.neck.lateral_convs[0].conv.weight
    assert folded.backbone.conv1.weight is not model.backbone.conv1.weight
    assert type(folded) is type(model)


def test_hooks_are_shared_not_copied():
    class Uncopyable:
        def __deepcopy__(self, memo):
            raise AssertionError("what a hook refers to may be as large as a dataset")

        def __call__(self, module, args):
            calls.append(module)

    calls, model = [], detector(18)
    model.backbone.register_forward_pre_hook(Uncopyable())
    folded = fold_batch_norms(model)
    with torch.no_grad():
        folded(torch.randn(1, 3, 32, 32))
    assert calls == [folded.backbone]


class PreActivation(nn.Module):
    """Its batch norm comes before its convolution, whatever the order of its attributes."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.conv1(self.bn1(x))


def test_unknown_modules_stay_as_they_are():
    model = nn.Sequential(PreActivation(), nn.BatchNorm2d(3)).eval()
    assert len(norms(fold_batch_norms(model))) == 2
