"""Bar charts as inline SVG, in colours that the page's style sheet sets."""

from collections.abc import Sequence
from html import escape

import numpy as np

ROW = 20  # pixels
LABEL, BARS, NUMBER = 92, 210, 108  # widths of the three columns


def bar_chart(title: str, labels: Sequence[str], counts: np.ndarray) -> str:
    """Draw stacked horizontal bars.

    Args:
        title: For screen readers.
        labels: Of the bins.
        counts: (2, bins): the first part of each bar, and the second.
    """
    totals = counts.sum(axis=0)
    longest, everything = max(int(totals.max()), 1), max(int(totals.sum()), 1)
    rows = []
    for line, (label, total, parts) in enumerate(zip(labels, totals.tolist(), counts.T.tolist())):
        share = total / everything
        number = f"{total} ({'&lt;1%' if 0 < share < 0.005 else f'{share:.0%}'})" if total else "0"
        widths = [part / longest * BARS for part in parts]
        rows.append(_row(line * ROW, label, number, widths))
    size = f'viewBox="0 0 {LABEL + BARS + NUMBER} {len(rows) * ROW}"'
    return f'<svg {size} role="img" aria-label="{escape(title)}">{"".join(rows)}</svg>'


def _row(top: int, label: str, number: str, widths: Sequence[float]) -> str:
    base = top + ROW * 0.7
    pieces = [f'<text x="{LABEL - 8}" y="{base:g}" text-anchor="end">{escape(label)}</text>']
    left = float(LABEL)
    for name, width in zip(("bar-counted", "bar-ignored"), widths):
        if width:
            box = f'x="{left:.1f}" y="{top + 3}" width="{max(width, 1):.1f}" height="{ROW - 6}"'
            pieces.append(f'<rect class="{name}" {box}/>')
            left += max(width, 1)
    pieces.append(f'<text class="number" x="{left + 6:.1f}" y="{base:g}">{number}</text>')
    return "".join(pieces)
