"""Settings of a postprocessor, searched on probability maps that are computed once."""
