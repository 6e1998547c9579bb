import contextlib
import threading

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from dbnet.config.load import load_config
from dbnet.engine import evaluation_loops
from dbnet.engine.evaluation_loops import can_overlap
from dbnet.evaluation.metrics import PredictionCollector
from dbnet.models.detectors.dbnet import DBNet
from dbnet.registry import MODELS
from tests.bright import BRIGHT
from tests.scenes import write_config, write_scenes

NUM_IMAGES = 7
LOOPS = dict(
    test=("TestLoop", "OverlappedTestLoop"),
    val=("ValLoop", "OverlappedValLoop"),
)


class Recorder(Hook):
    """Keep what a loop tells its hooks."""

    def __init__(self):
        self.before, self.after, self.epochs = [], [], []

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        assert not runner.model.training
        self.before.append((batch_idx, names(data_batch)))

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert len(outputs) == len(data_batch["metas"])
        polygons = [[p.tolist() for p in found["polygons"]] for found in outputs]
        self.after.append((batch_idx, names(data_batch), polygons))

    def after_test_epoch(self, runner, metrics=None):
        self.epochs.append(metrics)

    before_val_iter, after_val_iter = before_test_iter, after_test_iter
    after_val_epoch = after_test_epoch


def names(data_batch):
    return [meta["img_path"] for meta in data_batch["metas"]]


@MODELS.register_module(force=True)
class MirroringDBNet(DBNet):
    """A detector of the user's, which does more than to post-process a map."""

    def forward(self, inputs, targets=None, metas=None, mode="tensor"):
        if mode == "predict":
            inputs = inputs.flip(-1)
        return super().forward(inputs, targets, metas, mode)


@pytest.fixture(scope="module")
def config_path(tmp_path_factory):
    """Config of a detector of bright areas, which finds letters in pictures of words."""
    root = write_scenes(tmp_path_factory.mktemp("scenes"), NUM_IMAGES)
    return write_config(root, "bright_words", epochs=1, extra=BRIGHT)


def make_runner(config_path, tmp_path, stage="test", loop=None, model=None, batch_size=1):
    options = {
        f"{stage}_dataloader.batch_size": batch_size,
        f"{stage}_cfg.type": loop or LOOPS[stage][1],
        "work_dir": str(tmp_path),
        "log_level": "ERROR",
        "visualizer": dict(type="Visualizer"),
    }
    if model:
        options["model.type"] = model
    return Runner.from_cfg(load_config(config_path, options))


def evaluate(runner, stage="test"):
    """Run a loop; give metrics, collected images and what the hooks were told."""
    runner.register_hook(recorder := Recorder())
    loop = runner.test_loop if stage == "test" else runner.val_loop
    loop.evaluator.metrics.append(collector := PredictionCollector())
    metrics = runner.test() if stage == "test" else runner.val()
    return metrics, list(collector.images), recorder


def postprocessing_threads():
    return [t for t in threading.enumerate() if t.name.startswith("in_order")]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("stage", LOOPS)
def test_the_results_are_those_of_the_plain_loop(config_path, tmp_path, stage, batch_size):
    plain, overlapped = (
        evaluate(make_runner(config_path, tmp_path, stage, loop, batch_size=batch_size), stage)
        for loop in LOOPS[stage]
    )
    assert overlapped[0] == plain[0]
    assert overlapped[1] == plain[1]
    assert sum(len(image["polygons"]) for image in plain[1]) > NUM_IMAGES
    for told in ("before", "after", "epochs"):
        assert getattr(overlapped[2], told) == getattr(plain[2], told)
    assert [index for index, *_ in plain[2].after] == list(range(-(-NUM_IMAGES // batch_size)))
    assert not postprocessing_threads()


def test_the_configs_overlap_by_default(config_path):
    config = load_config(config_path)
    assert config.test_cfg.type == "OverlappedTestLoop"
    assert config.val_cfg.type == "OverlappedValLoop"


def test_a_batch_is_post_processed_while_the_next_is_in_the_network(config_path, tmp_path):
    runner = make_runner(config_path, tmp_path)
    postprocessor, head_forward = runner.model.postprocessor, runner.model.det_head.forward
    started, calls = threading.Event(), []

    def predict(features, mode):
        calls.append(threading.current_thread())
        if len(calls) == 2:
            started.set()
        return head_forward(features, mode=mode)

    def wait_and_find(prob_map, metas):
        assert started.wait(timeout=120), "the network waits for the postprocessor"
        calls.append(threading.current_thread())
        return postprocessor(prob_map, metas)

    runner.model.det_head.forward = predict
    runner.model.postprocessor = wait_and_find
    evaluate(runner)
    assert len(calls) == 2 * NUM_IMAGES
    assert {thread.name.split("_")[0] for thread in calls} == {"MainThread", "in"}


def test_an_empty_data_set_gives_the_metrics_of_nothing(config_path, tmp_path):
    runner = make_runner(config_path, tmp_path)
    runner.test_loop.dataloader.sampler.num_samples = 0
    runner.test_loop.dataloader.sampler.total_size = 0
    metrics, images, recorder = evaluate(runner)
    assert metrics["icdar/hmean"] == 1 and images == [] and recorder.after == []


@pytest.mark.parametrize("fp16", [False, True])
def test_batch_norms_are_folded_in_float32_alone(config_path, tmp_path, monkeypatch, fp16):
    folded = []

    def fold(model):
        folded.append(model)
        return model

    monkeypatch.setattr(evaluation_loops, "fold_batch_norms", fold)
    runner = make_runner(config_path, tmp_path)
    monkeypatch.setattr(runner.test_loop, "fp16", fp16)
    monkeypatch.setattr(evaluation_loops, "half_precision", lambda on: contextlib.nullcontext())
    evaluate(runner)
    assert len(folded) == (0 if fp16 else 1)


# --- Errors ---


def failing(call, at):
    """Wrap a function that raises when it is called for the `at`-th time, counted from 1."""
    count = 0

    def wrapped(*args, **kwargs):
        nonlocal count
        count += 1
        if count == at:
            raise KeyError("broken")
        return call(*args, **kwargs)

    return wrapped


@pytest.fixture(scope="module")
def shared_runner(config_path, tmp_path_factory):
    init_default_scope("dbnet")
    return make_runner(config_path, tmp_path_factory.mktemp("work"))


@pytest.mark.parametrize("at", [1, 4, NUM_IMAGES])
@pytest.mark.parametrize("part", ["postprocessor", "metric", "network", "hook", "loader"])
def test_errors_of_any_part_are_raised(shared_runner, monkeypatch, part, at):
    runner = shared_runner
    monkeypatch.setattr(runner, "_hooks", [*runner.hooks])
    runner.register_hook(recorder := Recorder())
    owner, name = {
        "postprocessor": (runner.model, "postprocessor"),
        "metric": (runner.test_evaluator, "process"),
        "network": (runner.model.det_head, "forward"),
        "hook": (recorder, "after_test_iter"),
        "loader": (runner.test_dataloader, "collate_fn"),
    }[part]
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), at))
    with pytest.raises(KeyError, match="broken"):
        runner.test()
    # Those before it have been dealt with, but for at most the two that were pending.
    assert at - 3 <= len(recorder.after) <= at - 1
    assert not postprocessing_threads()


# --- Models ---


def test_a_model_with_a_forward_of_its_own_is_tested_plainly(config_path, tmp_path):
    runner = make_runner(config_path, tmp_path, model="MirroringDBNet")
    assert not can_overlap(runner.test_loop)
    found = evaluate(runner)
    runner = make_runner(config_path, tmp_path, model="MirroringDBNet", loop="TestLoop")
    expected = evaluate(runner)
    assert found[:2] == expected[:2]
    assert found[1] != evaluate(make_runner(config_path, tmp_path))[1]


def test_a_wrapped_model_gives_the_same(config_path, tmp_path):
    expected = evaluate(make_runner(config_path, tmp_path))
    runner = make_runner(config_path, tmp_path)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        runner.model = MMDistributedDataParallel(runner.model)
        assert can_overlap(runner.test_loop)
        found = evaluate(runner)
    finally:
        torch.distributed.destroy_process_group()
    assert found[:2] == expected[:2]


def test_testing_leaves_the_model_alone(config_path, tmp_path):
    runner = make_runner(config_path, tmp_path)
    modules = dict(runner.model.named_modules())
    state = {key: value.clone() for key, value in runner.model.state_dict().items()}
    evaluate(runner)
    assert {name: id(module) for name, module in runner.model.named_modules()} == {
        name: id(module) for name, module in modules.items()
    }
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_half_precision_is_bfloat16_where_a_gpu_has_it(monkeypatch, native, dtype):
    monkeypatch.setattr(evaluation_loops, "get_device", lambda: "cuda")
    monkeypatch.setattr(evaluation_loops, "has_fast_bfloat16", lambda device: native)
    monkeypatch.setattr(torch, "autocast", lambda kind, chosen: (kind, chosen))
    assert evaluation_loops.half_precision(True) == ("cuda", dtype)


def test_algorithms_are_searched_for_images_of_one_size_alone(monkeypatch):
    class Sized(list):
        def size_of(self, idx):
            return self[idx]

    one_size = evaluation_loops.have_one_size
    assert one_size(Sized([(720, 1280)] * 3)) and not one_size([1, 2])
    assert not one_size(Sized([(720, 1280), (32, 32)])) and not one_size(Sized([None, None]))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    with evaluation_loops.searching(False):
        assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark
