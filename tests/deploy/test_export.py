"""`dbnet export`, and the files in their runtimes."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch import nn

import dbnet
from dbnet.cli import export as export_tool
from dbnet.cli import infer as infer_tool
from dbnet.cli import test as test_tool
from dbnet.deploy import agreement, graphs, quantization, requirements, runtimes
from dbnet.deploy import export as export_module
from dbnet.deploy.exported_network import ExportedNetwork
from dbnet.deploy.formats import Request, check_request
from dbnet.deploy.metadata import Metadata
from dbnet.errors import UserError
from dbnet.foreign.graph import Graph, Node
from dbnet.models.backbones.resnet import ModulatedDeformConv2d
from dbnet.models.onnx_operators import GraphModule
from dbnet.registry import MODELS
from dbnet.utils import memory
from tests.bright import PATCH_POLYGON, corners, draw_patch, write_bright
from tests.scenes import write_config, write_scenes

# So that a random network finds something.
LENIENT = dict(bin_thresh=0.25, box_thresh=0.0, min_text_width=1)
SUFFIXES = (".onnx", ".xml", ".pt2")


@pytest.fixture(scope="module", autouse=True)
def _packages():
    for package in ("onnx", "onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return write_bright(tmp_path_factory.mktemp("bright"))


def write_tiny(root, extra=""):
    """Write scenes, and config and random weights of a tiny network; give the latter's paths."""
    write_scenes(root, 8)
    config = write_config(root, "tiny", epochs=1, extra=extra)
    torch.manual_seed(1)
    detector = dbnet.init_detector(config)
    last = detector.det_head.binarize[-1]
    nn.init.normal_(last.weight, std=2.0)  # so that the map is not even
    torch.save(dict(state_dict=detector.state_dict()), root / "tiny.pth")
    return config, str(root / "tiny.pth")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny):
    """A file of each format, of the tiny network."""
    root = tmp_path_factory.mktemp("files")
    for suffix in SUFFIXES:
        assert export_tool.main([*tiny, "--out", str(root / f"model{suffix}")]) == 0
    return root


def last_error(capsys):
    output = capsys.readouterr().err
    assert "Traceback" not in output
    return output.strip().splitlines()[-1]


# --- The file ---


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_maps_are_those_of_pytorch_at_any_size(files, tiny, suffix):
    detector = dbnet.init_detector(*tiny)
    runtime = runtimes.open_runtime(files / f"model{suffix}")
    rng = np.random.default_rng(0)
    # A program of torch.export pads an image of 32 pixels to 64.
    least = (1, 3, 64, 64) if suffix == ".pt2" else (1, 3, 32, 32)
    for shape in (least, (2, 3, 160, 96), (5, 3, 64, 224)):
        x = rng.standard_normal(shape, np.float32)
        with torch.inference_mode():
            expected = detector(torch.from_numpy(x)).numpy()[:, None]
        assert expected.std() > 0.01  # not an even map, which would agree by chance
        np.testing.assert_allclose(runtime(x), expected, atol=2e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_file_alone_finds_the_texts_as_config_and_checkpoint_do(bright, tmp_path, suffix):
    from tests.scenes import draw_scene

    path = tmp_path / f"model{suffix}"
    assert export_tool.main([*bright, "--out", str(path)]) == 0
    images = [draw_scene(np.random.default_rng(seed), 150 + seed)[0] for seed in range(4)]
    exported, own = dbnet.TextDetInferencer(path), dbnet.TextDetInferencer(*bright, amp=False)
    for batch_size in (1, 3):
        pairs = list(zip(own(images, batch_size), exported(images, batch_size), strict=True))
        assert sum(len(one["polygons"]) for one, _ in pairs) > 3
        for one, other in pairs:
            np.testing.assert_allclose(other["polygons"], one["polygons"], atol=1e-3)
            np.testing.assert_allclose(other["scores"], one["scores"], atol=1e-4)


def test_memory_is_given_back_where_it_has_grown(files, monkeypatch):
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 96), np.float32)
    runtime = runtimes.open_runtime(files / "model.onnx")
    used = []
    session = runtime._session
    run = lambda *args: used.append(args[2:]) or session.run(*args)  # noqa: E731
    runtime._session = SimpleNamespace(run=run)
    kept = runtime(x)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 1 << 40)
    for _ in range(2):  # the second time, what could not be given back counts as in use
        np.testing.assert_array_equal(runtime(x), kept)
    assert used == [(), (runtime._giving_back,), ()]


def test_what_an_onnx_file_holds(files, tiny):
    import onnx

    model = onnx.load(files / "model.onnx")
    onnx.checker.check_model(model)
    [x], [y] = model.graph.input, model.graph.output
    axes = [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
    assert (x.name, axes) == ("x", ["N", 3, "H", "W"])
    assert y.name == "prob_map"
    assert model.opset_import[0].version == 18
    kinds = {node.op_type for node in model.graph.node}
    assert "BatchNormalization" not in kinds
    # The threshold branch would double the head's two transposed convolutions.
    assert sum(node.op_type == "ConvTranspose" for node in model.graph.node) == 2
    settings = json.loads({p.key: p.value for p in model.metadata_props}["dbnet"])
    assert settings["config"] == "tiny" and settings["version"] == dbnet.__version__
    assert settings["resize"] == dict(scale=[128, 128], keep_ratio=True, max_scale=None)
    assert settings["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert (settings["channel_order"], settings["divisor"]) == ("rgb", 32)
    assert settings["postprocessor"]["bin_thresh"] == 0.3
    assert len(settings["checkpoint_sha256"]) == 64


def test_an_older_opset(tiny, tmp_path):
    import onnx

    out = tmp_path / "old.onnx"
    assert export_tool.main([*tiny, "--out", str(out), "--opset", "13"]) == 0
    assert onnx.load(out).opset_import[0].version == 13


def inputs(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_half_an_onnx_file(files, tmp_path):
    import onnx

    out = tmp_path / "h.onnx"
    shutil.copy(files / "model.onnx", out)
    graphs.to_half_onnx(out)
    kinds = {one.data_type for one in onnx.load(out).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    x = inputs(2, 3, 64, 96)
    exact, rounded = (runtimes.open_runtime(f)(x) for f in (files / "model.onnx", out))
    assert rounded.dtype == np.float32
    assert 0 < np.abs(rounded - exact).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [("h.pt2", "bf16"), ("b.xml", "bf16")])
def test_bfloat16(tiny, files, tmp_path, name, precision):
    out = tmp_path / name
    assert export_tool.main([*tiny, "--out", str(out), "--precision", precision]) == 0
    x = inputs(1, 3, 64, 96)
    exact, rounded = (runtimes.open_runtime(f)(x) for f in (files / "model.onnx", out))
    assert rounded.dtype == np.float32
    np.testing.assert_allclose(rounded, exact, atol=0.05)


@pytest.mark.parametrize("spelt", ["module", "node of a foreign graph"])
def test_networks_with_gelu_get_an_opset_that_has_it(spelt):
    foreign = GraphModule(Graph([Node("Gelu", ["x"], "y")], "x", "y"))
    graph = nn.GELU() if spelt == "module" else foreign
    assert export_module.default_opset(nn.Sequential(graph), SimpleNamespace(layout="nchw")) == 20
    assert export_module.default_opset(nn.Sequential(graph), SimpleNamespace(layout="opencv")) == 17
    assert (
        export_module.default_opset(nn.Sequential(nn.ReLU()), SimpleNamespace(layout="nchw")) == 18
    )


def test_bright_areas_are_found_by_the_package_name_of_a_file(bright, tmp_path):
    assert export_tool.main([*bright, "--out", str(tmp_path / "b.onnx")]) == 0
    for given in ((tmp_path / "b.onnx",), (None, str(tmp_path / "b.onnx"))):
        [texts] = dbnet.TextDetInferencer(*given)(draw_patch((256, 256), (80, 60, 201, 121)))
        expected = (PATCH_POLYGON + 0.5) * 2 - 0.5
        np.testing.assert_allclose(corners(texts["polygons"][0]), corners(expected), atol=2)


# --- Deformable convolutions ---


@MODELS.register_module(force=True)
class DeformedBackbone(nn.Module):
    out_channels = (3, 3, 3, 3)

    def __init__(self):
        super().__init__()
        self.conv = ModulatedDeformConv2d(3, 3)
        nn.init.normal_(self.conv.conv_offset.weight, std=0.3)

    def forward(self, x):
        return (self.conv(x),)


@pytest.fixture(scope="module")
def deformed(tmp_path_factory):
    root = tmp_path_factory.mktemp("deformed")
    from tests.bright import BRIGHT

    extra = BRIGHT.replace("GainBackbone", "DeformedBackbone")
    config = write_config(root, "deformed", epochs=1, extra=extra)
    torch.manual_seed(0)
    torch.save(dbnet.init_detector(config).state_dict(), root / "d.pth")
    return config, str(root / "d.pth")


@pytest.mark.parametrize("suffix", [".onnx", pytest.param(".xml", marks=pytest.mark.slow)])
def test_deformable_convolutions(deformed, tmp_path, suffix):
    out = tmp_path / f"d{suffix}"
    assert export_tool.main([*deformed, "--out", str(out)]) == 0
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 96), np.float32)
    with torch.inference_mode():
        expected = dbnet.init_detector(*deformed)(torch.from_numpy(x)).numpy()[:, None]
    np.testing.assert_allclose(runtimes.open_runtime(out)(x), expected, atol=1e-5)
    if suffix == ".onnx":
        import onnx

        assert onnx.load(out).opset_import[0].version == 19


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--opset", "18"], "--opset 18: deformable convolutions are in ONNX from 19 on"),
        (["--layout", "opencv"], "OpenCV's dnn has no deformable convolutions"),
    ],
)
def test_what_deformable_convolutions_cannot_be(deformed, tmp_path, capsys, options, message):
    assert export_tool.main([*deformed, "--out", str(tmp_path / "d.onnx"), *options]) == 1
    assert message in last_error(capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        (
            "onnxscript",
            "0.7.0",
            'too old for deformable convolutions: pip install "onnxscript>=0',
        ),
        ("onnxruntime", "1.24.4", '"onnxruntime>=1.25", whose wheels need Python 3.11'),
        ("torch", "2.11.0", 'pip install "torch>=2.12"'),
    ],
)
def test_old_versions_are_named(deformed, tmp_path, capsys, monkeypatch, package, version, message):
    monkeypatch.setattr(f"{package}.__version__", version)
    assert export_tool.main([*deformed, "--out", str(tmp_path / "d.onnx")]) == 1
    assert message in last_error(capsys)


def test_a_runtime_without_the_kernel_is_told():
    error = RuntimeError("NOT_IMPLEMENTED : no implementation for DeformConv(19) node")
    text = requirements.explain(error, "ONNX Runtime 1.24.4")
    assert text.startswith("ONNX Runtime 1.24.4 cannot compute its deformable convolutions")
    assert 'pip install "onnxruntime>=1.25"' in text


@pytest.mark.parametrize(
    ("package", "suffix"), [("onnxruntime", ".onnx"), ("openvino", ".xml"), ("onnxscript", ".onnx")]
)
def test_missing_packages_are_named(tiny, tmp_path, capsys, monkeypatch, package, suffix):
    monkeypatch.setitem(sys.modules, package, None)
    assert export_tool.main([*tiny, "--out", str(tmp_path / f"m{suffix}")]) == 1
    assert "is missing" in (error := last_error(capsys)) and "pip install" in error
    assert package in error


# --- What does not agree ---


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda y: y + 0.01, "its maps differ by 1.0e-02"),
        (lambda y: y * np.nan, "its maps differ by nan"),
        (lambda y: y[:, :, ::2], "gives"),
    ],
)
def test_a_file_that_disagrees_is_removed(
    tiny, files, tmp_path, capsys, monkeypatch, fault, message
):
    opened = export_module.open_for_comparison

    def faulty(*args):
        run, name = opened(*args)
        return lambda x: fault(run(x)), name

    def write(graph, path, *args):
        shutil.copy(files / "model.onnx", path)

    monkeypatch.setattr(export_module, "open_for_comparison", faulty)
    monkeypatch.setattr(export_module, "write", write)
    assert export_tool.main([*tiny, "--out", str(tmp_path / "m.onnx")]) == 1
    error = last_error(capsys)
    assert message in error and error.endswith("removed")
    assert list(tmp_path.iterdir()) == []


META = Metadata(
    *("c", "k", "0", "1", "fp32", "nchw", None, [0.0] * 3, [255.0] * 3, "bgr", 32),
    dict(scale=[128, 128]),
    dict(bin_thresh=0.5),
)


def test_agreement_counts_texts_of_both_sides():
    """The other side misses one of two squares: 2 of 3 texts have their like."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[20:50, 20:50] = image[70:100, 70:100] = 255

    def expected(x):
        return x[:, :1]

    def run(x):
        y = x[:, :1].copy()
        y[..., 60:, 60:] = 0
        return y

    assert agreement.compare_texts(run, expected, [image], META) == (2, pytest.approx(2 / 3))
    assert agreement.compare_texts(expected, expected, [image], META) == (2, 1)
    found = agreement.compare(run, expected, [image], META)
    assert found.largest == 1 and "maps differ by 1.0e+00" in found.problem("fp32")


@pytest.mark.parametrize(
    ("found", "precision", "problem"),
    [
        ((1e-4, 1e-6, 9, 1.0), "fp32", None),
        ((2e-3, 1e-6, 9, 1.0), "fp32", "maps differ"),
        ((0.9, 1e-3, 9, 1.0), "bf16", None),
        ((0.9, 1e-3, 9, 0.90), "bf16", "only 90% of the texts agree"),
        ((0.9, 3e-2, 9, 1.0), "int8", "maps differ"),
    ],
)
def test_how_much_a_precision_may_differ(found, precision, problem):
    text = agreement.Agreement(*found).problem(precision)
    assert text is None if problem is None else problem in text


# --- OpenCV ---


def test_opencv_normalises_in_the_graph(tiny, tmp_path):
    size = ["--layout", "opencv", "--size", "96,64"]
    assert export_tool.main([*tiny, "--out", str(tmp_path / "cv.onnx"), *size]) == 0
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    network = cv2.dnn.readNet(str(tmp_path / "cv.onnx"))
    network.setInput(cv2.dnn.blobFromImage(image))
    detector = dbnet.init_detector(*tiny)
    with torch.inference_mode():
        x = detector.data_preprocessor(dict(inputs=[torch.from_numpy(image).permute(2, 0, 1)]))
        expected = detector(x["inputs"])[0].numpy()
    found = network.forward()
    assert found.shape == (64, 96)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(UserError, match=r"layout opencv, for cv2\.dnn alone"):
        dbnet.TextDetInferencer(tmp_path / "cv.onnx")


# --- int8 ---


@pytest.mark.parametrize("suffix", [".onnx", pytest.param(".xml", marks=pytest.mark.slow)])
def test_int8(tiny, files, tmp_path, suffix):
    folder, out = tmp_path / "images", tmp_path / f"m{suffix}"
    folder.mkdir()
    write_scenes(folder, 4)
    (folder / "train.json").unlink()
    graph = graphs.DetectorGraph(dbnet.init_detector(*tiny))
    metadata = replace(runtimes.open_runtime(files / "model.onnx").metadata, precision="int8")
    if suffix == ".onnx":
        shutil.copy(files / "model.onnx", out)
        quantization.quantize_onnx(out, graph, folder, metadata)
        graphs.finish_onnx(out, metadata)
    else:
        pytest.importorskip("nncf")
        model = graphs.to_openvino(graph)
        model = quantization.quantize_openvino(model, graph, folder, metadata)
        graphs.save_openvino(model, out, metadata)
    runtime, x = runtimes.open_runtime(out), inputs(2, 3, 64, 96)
    assert runtime.metadata.precision == "int8"
    exact = runtimes.open_runtime(files / "model.onnx")(x)
    assert 0 < np.abs(runtime(x) - exact).mean() < 0.05
    if suffix == ".onnx":
        import onnx

        kinds = [node.op_type for node in onnx.load(out).graph.node]
        assert kinds.count("QuantizeLinear") > 5


def test_layers_that_lose_most_stay_in_floating_point(tmp_path):
    """Steps of a 255th of a range: one layer's input has a range 1000 times as wide."""

    class Loud(nn.Module):
        def __init__(self):
            super().__init__()
            self.quiet = nn.ModuleList(nn.Conv2d(3, 3, 1, bias=False) for _ in range(8))
            self.loud = nn.Conv2d(4, 3, 1, bias=False)
            for conv in self.quiet:
                nn.init.dirac_(conv.weight)
            with torch.no_grad():
                self.loud.weight.copy_(torch.eye(3, 4)[:, :, None, None])

        def forward(self, x):
            for conv in self.quiet:
                x = conv(x)
            return self.loud(torch.cat([x, 1000 * x[:, :1].abs()], dim=1))

    write_scenes(tmp_path, 2)
    paths = [str(tmp_path / f"img_{i}.png") for i in range(2)]
    assert quantization.sensitive_layers(Loud().eval(), paths, META) == {"loud"}


# --- Commands ---


def test_infer_and_test_take_the_file(files, tiny, tmp_path):
    root = os.path.dirname(tiny[0])
    options = ["--cfg-options", *(f"model.postprocessor.{k}={v}" for k, v in LENIENT.items())]
    where = ["--data-root", root, "--work-dir", str(tmp_path / "work")]
    results = []
    for index, checkpoint in enumerate((tiny[1], *(files / f"model{s}" for s in SUFFIXES))):
        out = tmp_path / f"{index}.json"
        arguments = [tiny[0], str(checkpoint), "--out", str(out), *where, *options]
        assert test_tool.main(arguments) == 0
        results.append(json.loads(out.read_text())["images"])
    assert sum(len(image["polygons"]) for image in results[0]) > 0
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            np.testing.assert_allclose(other["polygons"], one["polygons"], atol=1e-3)
    photo, out = f"{root}/img_0.png", tmp_path / "found"
    chosen = ["--checkpoint", str(files / "model.onnx"), "--test-size", "96,64"]
    assert infer_tool.main([photo, "--out", str(out), *chosen, *options]) == 0
    assert len(json.loads((out / "results.json").read_text())["images"]) == 1


def test_a_config_that_normalises_otherwise_is_refused(files, tiny, bright, capsys, tmp_path):
    arguments = [bright[0], str(files / "model.onnx"), "--work-dir", str(tmp_path / "w")]
    assert test_tool.main(arguments) == 1
    assert "normalises images otherwise than config" in last_error(capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "dbnet_r18_fpnc_quickstart"], "holds its own settings, leave it out"),
        (["--amp"], "has its precision; export it with --precision bf16"),
        (["--device", "cuda"], "pip install onnxruntime-gpu for CUDA, or try cpu"),
        (["--cfg-options", "model.neck.x=1"], "these can be set: model.postprocessor"),
        (["--cfg-options", "model.postprocessor.grow=up"], '"unclip" or "inverse", got "up"'),
    ],
)
def test_options_that_a_file_does_not_take(files, tiny, tmp_path, capsys, options, message):
    photo = os.path.join(os.path.dirname(tiny[0]), "img_0.png")
    chosen = ["--checkpoint", str(files / "model.onnx"), "--out", str(tmp_path / "o"), *options]
    assert infer_tool.main([photo, *chosen]) == 1
    assert message in last_error(capsys)


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "mmengine", "mmcv"):
    sys.modules[name] = None  # an import of it fails
sys.argv = ["dbnet", "infer", {photo!r}, "--checkpoint", {model!r}, "--out", {out!r}]
from dbnet.cli.main import main
status = main()
import dbnet
assert len(dbnet.TextDetInferencer({model!r})([{photo!r}] * 3)) == 3
sys.exit(status)
"""


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_no_torch_is_imported(files, tiny, tmp_path, suffix):
    photo = os.path.join(os.path.dirname(tiny[0]), "img_0.png")
    model, out = str(files / f"model{suffix}"), str(tmp_path / "found")
    program = WITHOUT_TORCH.format(photo=photo, model=model, out=out)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "found").iterdir())) == 2


CLOSED_ELSEWHERE = """
import signal, subprocess, threading
import numpy as np
from dbnet.deploy.runtimes import open_runtime
models = [open_runtime({model!r})]
models[0](np.zeros((1, 3, 64, 64), np.float32))
closing = threading.Thread(target=models.clear)
closing.start()
closing.join()
signal.signal(signal.SIGCHLD, lambda *_: print("a child has ended"))
subprocess.run(["true"])
"""


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_signals_after_another_thread_closed_the_model(files, suffix):
    program = CLOSED_ELSEWHERE.format(model=str(files / f"model{suffix}"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "a child has ended\n"), done.stderr


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("threads", "streams"), [("1", 1), ("2", 2), ("12", 3)])
def test_several_images_in_the_network_come_in_order(files, monkeypatch, suffix, threads, streams):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    network = ExportedNetwork(files / f"model{suffix}", options=LENIENT)
    few = dict(zip(SUFFIXES, (streams, 1 if streams == 2 else streams, 1)))
    assert network.streams == few[suffix]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (60 + 9 * i, 90, 3), np.uint8) for i in range(9)]
    detect = dbnet.TextDetInferencer.of(network)
    alone = [detect(image)[0]["scores"] for image in images]
    for one, other in zip(alone, detect(images)):
        np.testing.assert_allclose(other["scores"], one, atol=1e-5)


def test_a_batch_alone_has_all_threads(files, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    together, opened, ran = threading.Barrier(2), [], []

    def open_fake(path, device, threads=0, streams=1):
        opened.append((threads, streams))
        real = runtimes.open_runtime(path)

        def run(x):
            ran.append(streams)
            if len(ran) > 1:
                together.wait(10)
            return real(x)

        run.metadata, run.least_streams = real.metadata, 2
        return run

    monkeypatch.setattr("dbnet.deploy.exported_network.open_runtime", open_fake)
    network = ExportedNetwork(files / "model.onnx")
    sample = network.prepare(np.zeros((64, 96, 3), np.uint8), {})
    network.start([sample])()
    assert (opened, ran) == ([(0, 1)], [1])
    for finish in [network.start([sample]) for _ in range(2)]:
        finish()
    assert opened == [(0, 1), (2, 2)] and sorted(ran[1:]) == [1, 2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bad_files_are_one_line(tmp_path, files, suffix):
    with pytest.raises(UserError, match=r"model .*none\.\w+: No such file or directory"):
        runtimes.open_runtime(tmp_path / f"none{suffix}")
    bad = tmp_path / f"bad{suffix}"
    bad.write_bytes((files / f"model{suffix}").read_bytes()[:100])
    bad.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(UserError, match="cannot load it") as caught:
        runtimes.open_runtime(bad)
    assert "\n" not in str(caught.value)


def test_a_file_of_others_is_told_so(tmp_path, files):
    import onnx

    model = onnx.load(files / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    assert not runtimes.is_exported(tmp_path / "foreign.onnx")  # but ONNXGraph's
    assert runtimes.is_exported(files / "model.onnx")
    with pytest.raises(UserError, match="has no settings of dbnet in it"):
        runtimes.open_runtime(tmp_path / "foreign.onnx")


def test_a_bin_must_lie_beside_its_xml(tmp_path, files):
    (tmp_path / "m.xml").write_bytes((files / "model.xml").read_bytes())
    with pytest.raises(UserError, match=r"m\.bin must lie beside it"):
        runtimes.open_runtime(tmp_path / "m.xml")


# --- Arguments ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(out="m.onx"), r"--out m.onx: .* did you mean m\.onnx\?"),
        (dict(out="m"), r"the suffix says what to write, \.onnx \.xml \.pt2"),
        (dict(out="m.onnx", precision="bf16"), r"ONNX has fp32, fp16, int8; --out model\.xml has"),
        (dict(out="m.xml", opset=18), "--opset: does not go with OpenVINO"),
        (dict(out="m.xml", layout="opencv"), "--layout: does not go with OpenVINO"),
        (dict(out="m.onnx", size=(64, 64)), "--size: goes with --layout opencv"),
        (dict(out="m.onnx", layout="opencv", size=(70, 64)), "multiples of 32, such as 64,64"),
        (dict(out="m.onnx", layout="opencv", opset=18), "OpenCV 4.14 and 5.0 crash on newer"),
        (dict(out="m.onnx", layout="opencv", precision="fp16"), "--layout opencv: has fp32 only"),
        (dict(out="m.onnx", precision="int8"), "int8: needs --calibrate DIR"),
        (dict(out="m.onnx", calibrate="x"), "--calibrate: goes with --precision int8"),
        (dict(out="m.onnx", opset=7), "--opset 7: must be 11 to 23"),
        (dict(out="taken.xml"), r"taken\.bin is there already, choose another name"),
    ],
)
def test_arguments_that_do_not_go_together(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.bin").touch()
    paths = {key: Path(options[key]) for key in ("out", "calibrate") if key in options}
    with pytest.raises(UserError, match=message):
        check_request(Request(**{**options, **paths}))


def test_half_a_model_is_refused(tmp_path, capsys):
    arguments = ["dbnet_r18_fpnc_quickstart", "--out", str(tmp_path / "m.onnx")]
    assert export_tool.main(arguments) == 1
    assert "no checkpoint given" in last_error(capsys)


def test_a_pipeline_that_a_file_cannot_hold():
    pack = dict(type="PackTextDetInputs")
    good = [dict(type="mmcv.Resize", scale=(64, 32), keep_ratio=True), pack]
    assert export_module.resize_rule(good, "c")["scale"] == [64, 32]
    for bad in (
        [pack],
        [*good[:1], dict(type="ColorJitter"), pack],
        [dict(type="Resize", scale_factor=2.0), pack],
        [dict(type="Resize", scale=(64, 32), interpolation="area"), pack],
    ):
        with pytest.raises(UserError, match="config c: the test pipeline must be"):
            export_module.resize_rule(bad, "c")


def test_the_detector_itself_stays_as_it_is(tiny):
    detector = dbnet.init_detector(*tiny)
    graphs.DetectorGraph(detector)
    assert hasattr(detector.det_head, "threshold") and hasattr(detector, "loss_module")


def test_a_small_image_in_a_program(files):
    x = np.zeros((1, 3, 32, 96), np.float32)
    assert runtimes.open_runtime(files / "model.pt2")(x).shape == (1, 1, 32, 96)
