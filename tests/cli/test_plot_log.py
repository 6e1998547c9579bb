import json
import math

import cv2
import pytest

from dbnet.cli import plot_log
from dbnet.visualization import curves
from dbnet.visualization.curves import Records, plot_runs, points, read_scalars


def write_run(folder, train, evaluation, stamp="20260101_000000"):
    """Write a log: train as (step, loss), evaluation as (epoch, hmean)."""
    lines = [
        dict(loss=loss, loss_prob=loss / 2, loss_thr=loss / 4, loss_db=loss / 4, lr=0.1, step=step)
        for step, loss in train
    ]
    lines += [{"icdar/hmean": hmean, "step": epoch} for epoch, hmean in evaluation]
    target = folder / stamp / "vis_data" / "scalars.json"
    target.parent.mkdir(parents=True)
    target.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return folder


def test_table_and_picture_of_two_runs(tmp_path, capsys):
    # The best hmean comes twice: the first epoch counts.
    first = write_run(
        tmp_path / "one", [(5, 4.0), (10, 2.0)], [(1, 0.5), (2, 0.7), (3, 0.7), (4, 0.6)]
    )
    second = write_run(tmp_path / "two", [(5, 3.0)], [])
    out = tmp_path / "new" / "plot.png"
    assert plot_log.main([str(first), str(second), "--out", str(out)]) == 0
    *table, where = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in table] == [
        "run steps loss loss_prob loss_thr loss_db best hmean at last hmean at",
        "one 10 2.0000 1.0000 0.5000 0.5000 0.7000 2 0.6000 4",
        "two 5 3.0000 1.5000 0.7500 0.7500 - - - -",
    ]
    assert len({len(line) for line in table}) == 1
    assert where == f"curves: {out}"
    picture = cv2.imread(str(out))
    assert picture.shape == (800, 2000, 3)
    for color in curves.COLORS[:2]:  # both runs are in it
        blue, green, red = (int(color[i : i + 2], 16) for i in (5, 3, 1))
        assert (picture == (blue, green, red)).all(axis=2).sum() > 20


def test_runs_differ_without_colour(tmp_path, monkeypatch):
    import matplotlib.axes

    drawn = []
    plot = matplotlib.axes.Axes.plot

    def spy(self, *args, **kwargs):
        drawn.append(kwargs)
        return plot(self, *args, **kwargs)

    monkeypatch.setattr(matplotlib.axes.Axes, "plot", spy)
    run = Records([dict(loss=1.0, step=1)], [])
    plot_runs({f"run{i}": run for i in range(28)}, tmp_path / "plot.png")
    styles = [(line["color"], line["linestyle"], line["marker"]) for line in drawn[:28]]
    assert len(set(styles)) == 28
    assert len({style[1:] for style in styles[:9]}) == 9  # line and marker alone


def test_points_leave_out_what_is_missing_or_not_finite():
    records = [dict(step=1, lr=0.5), dict(step=2), dict(step=3, lr=math.nan), dict(step=4, lr=1)]
    assert points(records, "lr").tolist() == [[1, 0.5], [4, 1]]
    assert points([], "lr").shape == (0, 2)


def test_losses_that_are_not_finite_are_printed(tmp_path, capsys):
    run = write_run(tmp_path / "run", [(5, 4.0), (10, math.nan)], [])
    assert plot_log.main([str(run), "--out", str(tmp_path / "plot.png")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["run", "10", "nan"]


def test_a_resumed_run_is_one(tmp_path):
    write_run(tmp_path, [(5, 4.0), (10, 3.0)], [(1, 0.1)])
    write_run(tmp_path, [(10, 2.0)], [(1, 0.3), (2, 0.2)], stamp="20260102_000000")
    run = read_scalars(tmp_path)
    assert points(run.train, "loss").tolist() == [[5, 4], [10, 2]]
    assert points(run.evaluation, "icdar/hmean").tolist() == [[1, 0.3], [2, 0.2]]


def test_evaluations_without_epochs_are_told_apart(tmp_path):
    """mmengine logs them all at step 0 if training counts iterations."""
    folder = tmp_path / "20260101_000000" / "vis_data"
    folder.mkdir(parents=True)
    lines = ['{"loss": 3, "step": 20}', '{"icdar/hmean": 0.2, "step": 0}']
    lines += ['{"loss": 2, "step": 40}', '{"icdar/hmean": 0.1, "step": 0}']
    (folder / "scalars.json").write_text("\n".join(lines))
    run = read_scalars(tmp_path)
    assert points(run.evaluation, "icdar/hmean").tolist() == [[20, 0.2], [40, 0.1]]


def test_names_of_runs(tmp_path):
    paths = [tmp_path / "a" / "run", tmp_path / "b" / "run", tmp_path / "c"]
    assert plot_log.run_names(paths) == {
        str(paths[0]): paths[0],
        str(paths[1]): paths[1],
        "c": paths[2],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no log of a training run; expected TIME/vis_data/scalars.json"),
        ("", "no log of a training run"),
        ("no json}\n", "damaged log"),
        ('{"loss": 1.0}\n', "damaged log"),  # no step
        ("\xff", "damaged log"),
    ],
)
def test_folders_without_a_log_are_one_line(tmp_path, capsys, content, message):
    if content is not None:
        path = tmp_path / "20260101_000000" / "vis_data" / "scalars.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(content.encode("latin-1"))
    assert plot_log.main([str(tmp_path), "--out", str(tmp_path / "plot.png")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}: {message}") and error.count("\n") == 1
    assert not (tmp_path / "plot.png").exists()


@pytest.mark.parametrize("name", ["plot.foo", "file/plot.png"])
def test_a_picture_that_cannot_be_written_is_one_line(tmp_path, capsys, name):
    (tmp_path / "file").write_text("")
    run = write_run(tmp_path / "run", [(5, 4.0)], [])
    assert plot_log.main([str(run), "--out", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: --out {tmp_path / name}: ") and error.count("\n") == 1
