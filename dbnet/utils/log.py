"""Messages to the log of a run, or without a run to Python's logger `dbnet`."""

import logging

from mmengine.logging import MMLogger


def log(message: str, level: int = logging.INFO) -> None:
    """Log a message; nothing is printed to standard output unless a run does it.

    mmengine's `print_log` prints there even if there is no run.
    """
    run: logging.Logger = MMLogger.get_current_instance()
    # This name has the logger that mmengine makes where there is no run.
    target = logging.getLogger("dbnet") if run.name == "mmengine" else run
    target.log(level, message)
