"""Plots of results as SVG that needs nothing else: the rounds of a run, and a ratio over runs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pygal
from pygal.style import Style

Values = Sequence[float | None]
Line = tuple[str, Values, str]
"""Its name, a value for each label, and how it is drawn: a colour of COLOURS."""

COLOURS = {"ours": "#1d4ed8", "other": "#57606a", "third": "#15803d", "bound": "#b45309", "void": "#b91c1c"}
_WIDE, _HIGH = 460, 240
_numbers = count(1)


def plot(title: str, labels: Sequence[str], lines: Sequence[Line]) -> str:
    """One plot. What is void is marked by points alone, for no line leads there; a bound has no points."""
    style = Style(
        background="transparent", plot_background="transparent", font_family="system-ui, sans-serif",
        title_font_size=14, legend_font_size=12, label_font_size=11, major_label_font_size=11,
        guide_stroke_color="#d0d7de", major_guide_stroke_color="#d0d7de", guide_stroke_dasharray="",
        colors=tuple(COLOURS[kind] for _, _, kind in lines),
    )  # fmt: skip
    chart = pygal.Line(
        js=(), disable_xml_declaration=True, width=_WIDE, height=_HIGH, style=style, title=title, dots_size=3,
        legend_at_bottom=True, legend_at_bottom_columns=len(lines), include_x_axis=True, max_scale=6,
    )  # fmt: skip
    chart.uuid = f"plot-{next(_numbers)}"
    chart.x_labels = list(labels)
    for name, values, kind in lines:
        chart.add(name, list(values), stroke=kind != "void", show_dots=kind != "bound")
    chart.add_xml_filter(_bare)
    return str(chart.render(is_unicode=True))


def _bare(root: Any) -> Any:
    """Without scripts and comments: a page that is mailed around runs no code, and names no other page."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for one in [one for one in parents if not isinstance(one.tag, str) or one.tag.endswith("script")]:
        parents[one].remove(one)
    return root
