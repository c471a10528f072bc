"""A trend as a small picture: failed attempts an hour, as bars."""

from collections.abc import Sequence

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

_WIDTH, _GAP, _HEIGHT = 4, 1, 24


def picture(trend: Sequence[int]) -> SafeString:
    """Return the bars as SVG, in colours of the page; the highest bar is the most of these hours."""
    most = max(trend, default=0)
    bars = [
        {"x": place * (_WIDTH + _GAP), "y": _HEIGHT - height, "height": height}
        for place, number in enumerate(trend)
        if (height := max(round(_HEIGHT * number / most), 2) if number else 0)
    ]
    context = {
        "bars": bars,
        "width": len(trend) * (_WIDTH + _GAP) - _GAP,
        "bar": _WIDTH,
        "height": _HEIGHT,
        "number": sum(trend),
        "most": most,
        "hours": len(trend),
    }
    return render_to_string("admin/microworkflows_problems/trend.html", context)
