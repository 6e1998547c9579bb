"""The line on a terminal that counts what is done and estimates the rest."""


def progress_line(done: int, total: int, seconds: float) -> str:
    """Say how many of `total` images are done after `seconds`, and how long the rest takes."""
    left = round(seconds / max(done, 1) * (total - done))
    clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
    return f"\r\033[K{done}/{total} images, {clock} left"
