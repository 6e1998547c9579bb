"""What this machine's GPU is, or why there is none."""

import os

DRIVER = "/dev/nvidiactl"  # is there where NVIDIA's driver is


def reason_without_gpu() -> str | None:
    """Say why the GPU of this machine cannot be used; None if it can, or there is none."""
    import torch

    if not os.path.exists(DRIVER) or torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built without CUDA"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides it"
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().splitlines()[0].split(". ")[0]
    return "PyTorch finds none"
