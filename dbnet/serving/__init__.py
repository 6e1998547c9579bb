"""A detector behind HTTP, and on a page. Needs the extra `[serve]` or `[demo]`."""
