"""Whether another project can be measured beside ours."""

import functools
import subprocess
import sys


def why_missing(*modules: str) -> str | None:
    """Import modules in a process of its own; return why they cannot be, None if they can.

    Installed is not importable: MMOCR refuses other versions of mmcv than its own.
    """
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 0:
        return None
    lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
    return f"{modules[0]} cannot be imported: {lines[-1]}"


@functools.cache
def importable(*modules: str) -> bool:
    """Return whether modules can be imported; if not, print a line that says why, once."""
    reason = why_missing(*modules)
    if reason:
        print(f"only ours is measured, {reason}", flush=True)
    return reason is None
