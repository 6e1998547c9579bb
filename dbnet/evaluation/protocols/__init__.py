"""Protocols of other data sets than ICDAR2015, in the form that all figures are made of: counts.

A protocol turns the texts and predictions of one image, a `Scene`, into a `Row` of sums. Rows add
up over a data set, so that intervals and differences work for every protocol alike.
"""

NAMES = (  # without imports, for --help
    *("icdar2015", "icdar2013", "icdar2013_deteval", "deteval", "totaltext", "ctw1500", "td500"),
    *("mlt", "cleval", "tiou"),
)
