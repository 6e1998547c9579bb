"""Weights of other projects, to and from the names of this one."""
