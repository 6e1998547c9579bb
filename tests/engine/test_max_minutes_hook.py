"""`dbnet train --max-minutes`."""

import json
import time

import pytest
import torch

import dbnet
from dbnet.engine import max_minutes_hook
from dbnet.engine.max_minutes_hook import MOST, Costs
from dbnet.engine.schedules import scale_schedule
from dbnet.errors import UserError
from tests.scenes import write_config, write_scenes

BY_ITERATIONS = """
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=40, val_interval=20)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=4),
    dict(type="PolyLR", power=1.0, eta_min=0, by_epoch=False, begin=4),
]
default_hooks = dict(
    logger=dict(interval=1, log_metric_by_epoch=False),
    checkpoint=dict(interval=10, by_epoch=False, max_keep_ckpts=9),
)
log_processor = dict(by_epoch=False)
"""


def costs(**changed):
    given = dict(
        spent=20, done=5, unit=2, validation=7, val_interval=10, saving=1, save_interval=20
    )
    return Costs(**{**given, **changed})


def test_the_longest_run_of_all_that_end_in_time():
    # 25 iterations: 20 s are spent, 20 x 2 s to go, three validations and two checkpoints.
    assert costs().total(25) == 20 + 40 + 21 + 2
    assert costs().longest(83) == 25
    assert costs().longest(82.9) == 24
    # The 31st iteration brings a fourth validation.
    assert costs().longest(83 + 10) == 30 and costs().longest(83 + 10 + 8.9) == 30
    assert costs(val_interval=MOST, validation=0).longest(83) == 35
    assert costs().longest(5) <= 5  # is past already


def test_schedules_keep_their_proportions():
    warm_up = dict(type="LinearLR", begin=0, end=100, start_factor=0.1, by_epoch=False)
    assert scale_schedule(warm_up, 0.25) == {**warm_up, "end": 25}
    assert scale_schedule(dict(begin=100, end=float("inf")), 0.001) == dict(
        begin=1, end=float("inf")
    )
    assert scale_schedule(dict(milestones=[10, 30], gamma=0.1), 2) == dict(
        milestones=[20, 60], gamma=0.1
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 4)
    return write_config(root, "by_iterations", epochs=1, extra=BY_ITERATIONS)


def rates(work_dir):
    """Learning rate of each step, in the newest log."""
    log = sorted(work_dir.rglob("scalars.json"))[-1]
    rows = map(json.loads, log.read_text().splitlines())
    return {row["step"]: row["lr"] for row in rows if "lr" in row}


def fix_length(monkeypatch, length):
    monkeypatch.setattr(Costs, "longest", lambda self, seconds: length)
    monkeypatch.setattr(max_minutes_hook, "MEASURED", 0)


def test_the_length_is_fixed_and_kept(config, tmp_path, monkeypatch):
    fix_length(monkeypatch, 20)
    work_dir = tmp_path / "work"
    assert "icdar/hmean" in dbnet.train(config, work_dir=work_dir, max_minutes=5, seed=0)
    assert sorted(p.name for p in work_dir.glob("*.pth")) == ["iter_10.pth", "iter_20.pth"]
    found = rates(work_dir)
    assert max(found) == 20
    base = 2e-3
    # A warm-up of 4 until the length is fixed, after 2 + 5; then one of 2, and 18 down to 0.
    assert found[1] == pytest.approx(0.5 * base)
    assert found[7] == pytest.approx(base * (1 - (7 - 5) / 35))
    expected = {step: base * (1 - (step - 3) / 17) for step in range(8, 21)}
    assert {s: found[s] for s in expected} == pytest.approx(expected, rel=1e-3)
    # A resumed run keeps the length, without being told.
    for path in work_dir.glob("iter_20.pth"):
        path.unlink()
    whole = torch.load(work_dir / "iter_10.pth", weights_only=False)
    assert whole["message_hub"]["runtime_info"]["length_by_max_minutes"] == 20
    dbnet.train(config, work_dir=work_dir, resume="auto", seed=0)
    assert (work_dir / "iter_20.pth").exists() and not (work_dir / "iter_40.pth").exists()
    assert rates(work_dir) == pytest.approx({s: found[s] for s in range(11, 21)})


def test_epochs_are_counted_where_the_config_does(tmp_path, monkeypatch):
    fix_length(monkeypatch, 6)
    path = write_config(write_scenes(tmp_path, 8), "by_epochs", epochs=9)
    dbnet.train(path, work_dir=tmp_path / "work", max_minutes=5)
    assert max(int(p.stem[6:]) for p in (tmp_path / "work").glob("epoch_*.pth")) == 6


def test_too_little_time_is_one_line(config, tmp_path):
    message = r"--max-minutes 0.001: too little for 8 iterations, validation and checkpoint, which"
    with pytest.raises(UserError, match=message):
        dbnet.train(config, work_dir=tmp_path / "work", max_minutes=0.001)


def test_measured_time_is_what_a_run_takes(config, tmp_path):
    """The length that is found ends within the time, and uses most of it."""
    started = time.monotonic()
    options = {"train_cfg.val_interval": 1000, "default_hooks.checkpoint.interval": 1000}
    dbnet.train(config, work_dir=tmp_path / "work", max_minutes=0.2, cfg_options=options)
    assert 4 < time.monotonic() - started < 40  # 12, were no other work here
