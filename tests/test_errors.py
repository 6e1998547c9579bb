"""What a GPU can do wrong, told in one line."""

import pytest
import torch

from dbnet.cli.console import one_line_errors
from dbnet.engine import start
from dbnet.errors import UserError, gpu_failure
from dbnet.utils import gpu

ASYNCHRONOUS = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the "
    "stacktrace below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1"
)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "CUDA error: an illegal memory access was encountered" + ASYNCHRONOUS,
            "CUDA error: an illegal memory access was encountered; look at nvidia-smi; a training "
            "goes on from its last checkpoint with --resume",
        ),
        (
            "CUDA error: no kernel image is available for execution on the device" + ASYNCHRONOUS,
            "CUDA error: no kernel image is available for execution on the device; install a "
            "PyTorch built for this GPU (pytorch.org)",
        ),
        (
            "The NVIDIA driver on your system is too old (found version 11040). Please update",
            "The NVIDIA driver on your system is too old (found version 11040); update the driver, "
            "or install a PyTorch built for an older CUDA (pytorch.org)",
        ),
        (
            "NCCL error in: ../ProcessGroupNCCL.cpp:3690, invalid usage, NCCL version 2.28.9\n"
            "ncclInvalidUsage: This usually reflects invalid usage of NCCL library.\nLast error:\n"
            "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 4000",
            "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 4000; start as many "
            "processes as there are GPUs",
        ),
        (
            "compute_grad_input does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for",
            "compute_grad_input does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'; leave out randomness.deterministic",
        ),
        ("CUDA error: out of memory" + ASYNCHRONOUS, "out of memory; lower train_dataloader"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "out of memory; lower train_dataloader"),
        ("GET was unable to find an engine to execute this", "out of memory; lower train_data"),
    ],
)
def test_failures_of_a_gpu_are_one_line(message, line, capsys):
    def work():
        raise RuntimeError(message)

    assert one_line_errors(work) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {line}") and error.count("\n") == 1


def test_other_errors_are_none_of_a_gpu():
    assert gpu_failure(RuntimeError("shape mismatch")) is None
    assert gpu_failure(ValueError("CUDA error: in a sentence of ours")) is None


def test_more_processes_than_gpus_are_refused():
    start.check_local_rank("pytorch", 1, num_gpus=2)
    with pytest.raises(UserError, match="process 1 of this machine has no GPU, there are 1; start"):
        start.check_local_rank("pytorch", 1, num_gpus=1)


def test_an_unusable_gpu_is_told(tmp_path, monkeypatch):
    assert gpu.reason_without_gpu() is None or not torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu, "DRIVER", str(tmp_path / "none"))
    assert gpu.reason_without_gpu() is None  # a machine without one
    monkeypatch.setattr(gpu, "DRIVER", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", None)
    assert gpu.reason_without_gpu().endswith("is built without CUDA")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu.reason_without_gpu() == "CUDA_VISIBLE_DEVICES hides it"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def fail():
        raise RuntimeError("The NVIDIA driver on your system is too old (found 11040). Please ...")

    monkeypatch.setattr(torch.cuda, "init", fail)
    reason = "The NVIDIA driver on your system is too old (found 11040)"
    assert gpu.reason_without_gpu() == reason
