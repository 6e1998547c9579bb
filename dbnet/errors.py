"""Mistakes that users can fix, lack of memory, and GPUs that fail."""

import re

# How PyTorch on a CPU and OpenCV say it, without an exception class of their own, and CUDA and its
# libraries beside PyTorch's allocator.
MEMORY_MESSAGES = (
    *("can't allocate memory", "Insufficient memory", "Cannot allocate memory"),
    *("CUDA error: out of memory", "STATUS_ALLOC_FAILED", "unable to find an engine"),
)

# What PyTorch says where a GPU cannot be used as it is wanted, and what helps; the first that fits.
GPU_FAILURES = {
    "no kernel image is available": "install a PyTorch built for this GPU (pytorch.org)",
    "driver version is insufficient|NVIDIA driver on your system is too old": (
        "update the driver, or install a PyTorch built for an older CUDA (pytorch.org)"
    ),
    "Duplicate GPU detected|invalid device ordinal": "start as many processes as there are GPUs",
    "CUBLAS_WORKSPACE_CONFIG": "set it in the environment, CUBLAS_WORKSPACE_CONFIG=:4096:8",
    "does not have a deterministic implementation": "leave out randomness.deterministic",
    "find C compiler|find a working triton": "install gcc and triton, or leave out `compile`",
    "CUDA error|CUDNN_STATUS|CUBLAS_STATUS|NCCL error|Found no NVIDIA driver": (
        "look at nvidia-smi; a training goes on from its last checkpoint with --resume"
    ),
}


class UserError(Exception):
    """A mistake that the user can fix.

    The message is one line that names the file, line or key and the fix. Command-line tools
    print it without a traceback and exit with status 1. Whatever is given something of the user's
    may raise it; docstrings say so where their first line does not tell when.
    """


class SetupError(UserError):
    """A package or setting of the machine is wrong, which no other picture would mend."""


class ImageError(UserError):
    """An image file is missing, or cannot be decoded."""


def line_of(error: Exception, which: int = 0) -> str:
    r"""Return a line of what a library says of an error, the first or (-1) the last one.

    >>> line_of(ValueError("no such key\nhint: spell it"), -1), line_of(KeyError())
    ('hint: spell it', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[which].strip()


def lack_of_memory(error: Exception) -> str | None:
    """Describe in a line what could not be allocated; None if an error is about something else."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of an accelerator
        return text.split(". ")[0]
    if not isinstance(error, MemoryError) and not any(part in text for part in MEMORY_MESSAGES):
        return None
    wanted = re.search(r"(?:tried to|Failed to|Unable to) allocate [^.(\n]*(?:\.\d+ \w+)?", text)
    return f"out of memory: {wanted[0].strip()}" if wanted else "out of memory"


def gpu_failure(error: Exception) -> str | None:
    """Describe in a line why a GPU could not go on; None if an error is about something else."""
    for pattern, help_ in GPU_FAILURES.items():
        lines = [line for line in str(error).splitlines() if re.search(pattern, line)]
        if lines and isinstance(error, RuntimeError):
            return f"{lines[0].strip().split('. ')[0].rstrip('.')}; {help_}"
    return None
