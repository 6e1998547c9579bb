"""Messages to the log of a run, or without a run to Python's logger `dbnet`."""

import logging
import sys


def log(message: str, level: int = logging.INFO) -> None:
    """Log a message; nothing is printed to standard output unless a run does it.

    mmengine's `print_log` prints there even if there is no run.
    """
    run = logging.getLogger("dbnet")
    if "mmengine.logging" in sys.modules:  # else there is no run, and torch would be imported
        current = sys.modules["mmengine.logging"].MMLogger.get_current_instance()
        # This name has the logger that mmengine makes where there is no run.
        run = run if current.instance_name == "mmengine" else current
    run.log(level, message)
