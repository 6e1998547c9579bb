import pytest

from dbnet.config.load import load_config
from dbnet.engine.schedules import check_schedules, misfits
from dbnet.errors import UserError


def linear(**others):
    return dict(type="LinearLR", by_epoch=False, **others)


def test_schedules_inside_the_run_fit():
    schedulers = [linear(begin=0, end=100), linear(begin=99), dict(type="PolyLR", end=2)]
    assert check_schedules(schedulers, max_epochs=2, max_iters=100) is None
    assert check_schedules([], 1, 1) is None
    assert check_schedules(linear(end=5), 1, 5) is None


def test_units_are_those_of_the_schedule():
    schedulers = [linear(end=30), dict(type="PolyLR", begin=3), dict(type="PolyLR", end=30)]
    assert misfits(schedulers, max_epochs=3, max_iters=40) == [
        ("param_scheduler.1.begin", 3, 3, "epochs"),
        ("param_scheduler.2.end", 30, 3, "epochs"),
    ]
    assert misfits(linear(end=50), 3, 40) == [("param_scheduler.end", 50, 40, "iterations")]
    assert misfits([object(), linear(end=50)], 3, 40)[0].key == "param_scheduler.1.end"
    assert misfits(dict(generator=[linear(end=50)]), 3, 40) == []  # of several optimizers


def test_a_schedule_that_begins_too_late_is_refused():
    schedulers = load_config("dbnet_ppocrv6-small_3k_icdar2015").param_scheduler
    with pytest.raises(UserError) as caught:
        check_schedules(schedulers, max_epochs=1, max_iters=100)
    assert str(caught.value) == (
        "the schedule goes beyond the run of 100 iterations: param_scheduler.0.end=200, "
        "param_scheduler.1.begin=200; lower them, such as --cfg-options "
        "param_scheduler.0.end=10 param_scheduler.1.begin=10"
    )


@pytest.mark.parametrize(
    "name", ["dbnet_ppocrv6-small_3k_icdar2015", "dbnetpp_r50_fpnc_1200e_icdar2015"]
)
def test_the_way_out_fits(name):
    schedulers = load_config(name).param_scheduler
    with pytest.raises(UserError) as caught:
        check_schedules(schedulers, max_epochs=20, max_iters=20)
    for option in str(caught.value).split("--cfg-options ")[1].split():
        _, index, key = option.split("=")[0].split(".")
        schedulers[int(index)][key] = int(option.split("=")[1])
    assert check_schedules(schedulers, max_epochs=20, max_iters=20) is None
    assert schedulers[0].end == schedulers[1].begin == 2


def test_a_schedule_that_ends_too_late_is_told():
    warning = check_schedules([linear(end=100)], max_epochs=1, max_iters=40)
    assert warning is not None and "param_scheduler.0.end=100, so it is cut off" in warning
    assert warning.endswith("--cfg-options param_scheduler.0.end=40")
