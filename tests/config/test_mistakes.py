"""What is reported of a config whose parts cannot be built, and what is left to a traceback."""

import pytest
import torch
from torch import nn

from dbnet.engine.runner import SafeRunner
from dbnet.engine.start import config_mistakes_reported
from dbnet.errors import UserError
from dbnet.models.losses import DBLoss
from dbnet.registry import MODELS


@MODELS.register_module(force=True)
class MistakenPart(nn.Module):
    def __init__(self, error, inner=None, size=None):
        super().__init__()
        if inner is not None:
            MODELS.build(inner)
        raise error


def reported(build, **kwargs):
    """The line that reports what `build` raises."""
    with pytest.raises(UserError) as caught, config_mistakes_reported("x.py", **kwargs):
        build()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def part(error, **others):
    return dict(type="MistakenPart", error=error, **others)


@pytest.mark.parametrize("kind", [TypeError, RuntimeError, AttributeError, KeyError])
def test_an_error_in_building_names_the_part_its_values_and_the_line(kind):
    line = reported(lambda: MODELS.build(part(kind("many\nlines"), size=(3, 4))))
    assert line.startswith("config x.py: MistakenPart(size=(3, 4)): ")
    assert "lines" in line and line.split("(")[-1].startswith("test_mistakes.py:")


def test_the_innermost_part_is_named():
    inner = part(TypeError("bad"), size=[1])
    line = reported(lambda: MODELS.build(part(ValueError("outer"), inner=inner, size=7)))
    assert line.startswith("config x.py: MistakenPart(size=[1]): bad (")


def test_a_refusal_needs_no_line_number():
    assert (
        reported(lambda: MODELS.build(part(ValueError("bad")))) == "config x.py: MistakenPart: bad"
    )
    assert reported(lambda: [][3]) == "config x.py: list index out of range"


def test_loaders_and_optimizers_are_parts():
    loader = dict(dataset=[1], sampler=dict(type="DefaultSampler"), batch_size=0, num_workers=0)
    line = reported(lambda: SafeRunner.build_dataloader(loader))
    assert line.startswith("config x.py: DataLoader(") and "batch_size=0" in line
    keys = dict(custom_keys=dict(weight=dict(lr_mult="x")))
    settings = dict(optimizer=dict(type="SGD", lr=0.1), paramwise_cfg=keys)
    runner = SafeRunner.__new__(SafeRunner)
    runner.model = nn.Linear(2, 2)
    line = reported(lambda: runner.build_optim_wrapper(settings))
    assert "can't multiply" in line


@pytest.mark.parametrize("error", [TypeError("bug"), RuntimeError("bug"), KeyError("bug")])
def test_bugs_outside_the_building_keep_their_traceback(error):
    def fail():
        raise error

    with pytest.raises(type(error)), config_mistakes_reported("x.py"):
        fail()
    with pytest.raises(type(error)), config_mistakes_reported("x.py", lambda: True):
        MODELS.build(part(error))


def test_lack_of_memory_is_not_a_mistake_in_the_config():
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with pytest.raises(torch.OutOfMemoryError), config_mistakes_reported("x.py"):
        MODELS.build(part(error))


def test_crops_that_the_network_pads_are_refused():
    maps = {"prob_logits": torch.zeros(2, 128, 160)}
    targets = dict.fromkeys(("shrink_map", "shrink_mask"), torch.zeros(2, 100, 150))
    with pytest.raises(UserError, match=r"crops of 150x100 pixels .* 160x128: .*such as 160,128"):
        DBLoss()(maps, targets)
