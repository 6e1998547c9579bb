class UserError(Exception):
    """A mistake that the user can mend.

    The message is one line that names the file, line or key and the way out. Command-line tools
    print it without a traceback and exit with status 1.
    """


class ImageError(UserError):
    """An image file is missing, or cannot be decoded."""
