"""Mistakes that users can fix, and lack of memory."""

import re

# How PyTorch on a CPU and OpenCV say it, without an exception class of their own.
MEMORY_MESSAGES = ("can't allocate memory", "Insufficient memory", "Cannot allocate memory")


class UserError(Exception):
    """A mistake that the user can fix.

    The message is one line that names the file, line or key and the fix. Command-line tools
    print it without a traceback and exit with status 1.
    """


class ImageError(UserError):
    """An image file is missing, or cannot be decoded."""


def lack_of_memory(error: Exception) -> str | None:
    """Describe in a line what could not be allocated; None if an error is about something else."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of an accelerator
        return text.split(". ")[0]
    if not isinstance(error, MemoryError) and not any(part in text for part in MEMORY_MESSAGES):
        return None
    wanted = re.search(r"(?:tried to|Failed to|Unable to) allocate [^.(\n]*(?:\.\d+ \w+)?", text)
    return f"out of memory: {wanted[0].strip()}" if wanted else "out of memory"
