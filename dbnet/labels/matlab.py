"""Variables of MATLAB files, which SciPy reads."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from dbnet.errors import UserError


def read_variable(file: Path | BinaryIO, source: str, name: str) -> np.ndarray:
    """Read one variable of a `.mat` file; the others are skipped and take no memory.

    Nothing else of the project needs SciPy.

    Args:
        file: The file, or its content.
        source: Its name for messages.
        name: The variable's name.
    """
    try:
        from scipy.io import loadmat, matlab
    except ImportError:
        raise UserError(f"{source} is a MATLAB file: pip install scipy, and run again") from None
    try:
        content = file.open("rb") if isinstance(file, Path) else file
        with content:
            variables = loadmat(content, variable_names=[name])
    # What SciPy raises for other files, newer ones (NotImplementedError), and cut off ones.
    except (ValueError, TypeError, NotImplementedError, matlab.MatReadError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{source}: not a MATLAB 5 file, or damaged ({reason}); download it again"
        ) from error
    if name not in variables:
        raise UserError(f"{source} has no variable {name!r}; this is not the official file")
    return variables[name]
