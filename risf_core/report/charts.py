"""The page's charts, as plotly figures without colours of text and ground: those follow the reader's light or dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from risf_core.report.calibration import Reliability
from risf_core.report.curves import ScoreHistogram

BEFORE, AFTER = "#8d97a8", "#2f81c7"  # readable on white and on black
DIAGONAL = "#e69f00"  # seen on bars and on both grounds
TRUE, FALSE = "#009e73", "#d55e00"  # Okabe and Ito's bluish green and vermilion
_LONGEST_NAME = 22

Curve = NDArray[np.float64]


def class_bars(
    names: Sequence[str], before: Sequence[float], after: Sequence[float], *, notes: Sequence[str]
) -> go.Figure:
    """AP of some classes before and after, in percent, one pair of bars a class, the first class on top."""
    short = [f"{name[: _LONGEST_NAME - 1]}…" if len(name) > _LONGEST_NAME else name for name in names]
    places = list(range(len(names)))
    figure = go.Figure()
    for title, values, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        hover = [
            f"{plain_text(name)}<br>{title} {value:.2f}{plain_text(note)}"
            for name, value, note in zip(names, values, notes, strict=True)
        ]
        figure.add_bar(
            name=title,
            x=_rounded(values, 2),
            y=places,
            orientation="h",
            marker_color=colour,
            hovertext=hover,
            hoverinfo="text",
        )
    _lay_out(figure, height=90 + 34 * len(names), bargap=0.3, barmode="group")
    figure.update_xaxes(title_text="AP in percent", range=[0, max(10.0, *before, *after) * 1.04])
    figure.update_yaxes(
        tickmode="array",
        tickvals=places,
        ticktext=[plain_text(name) for name in short],
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
    )
    return figure


def precision_recall(before: Curve | None, after: Curve | None) -> go.Figure:
    """Interpolated precision over recall before and after, each (R,)."""
    figure = go.Figure()
    for title, curve, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        values = [] if curve is None else curve.tolist()
        recalls = [] if curve is None else np.linspace(0, 1, len(values)).round(4).tolist()
        figure.add_scatter(
            name=title,
            x=recalls,
            y=_rounded(values, 4),
            mode="lines",
            line={"color": colour, "width": 2.5, "shape": "vh"},
            hovertemplate="recall %{x:.2f}: precision %{y:.3f}<extra>" + title + "</extra>",
        )
    _lay_out(figure, height=290)
    figure.update_xaxes(title_text="recall", range=[0, 1.005], dtick=0.2)
    figure.update_yaxes(title_text="precision", range=[0, 1.02], dtick=0.2)
    return figure


def score_histogram(histogram: ScoreHistogram, *, most: int) -> go.Figure:
    """True and false detections by score, side by side on a logarithmic scale up to `most`."""
    middles = ((histogram.edges[:-1] + histogram.edges[1:]) / 2).round(4)
    bounds = [f"{low:.2f} to {high:.2f}" for low, high in zip(histogram.edges[:-1], histogram.edges[1:], strict=True)]
    figure = go.Figure()
    for title, counts, colour in (("true", histogram.true, TRUE), ("false", histogram.false, FALSE)):
        figure.add_bar(
            name=title,
            x=middles.tolist(),
            y=counts.tolist(),
            marker_color=colour,
            customdata=bounds,
            hovertemplate="score %{customdata}: %{y} " + title + "<extra></extra>",
        )
    _lay_out(figure, height=290, barmode="group", bargap=0.12, bargroupgap=0)
    figure.update_xaxes(title_text="score", range=[0, 1], dtick=0.2)
    figure.update_yaxes(
        title_text="detections (log scale)", type="log", range=[np.log10(0.7), np.log10(max(most, 10) * 1.3)], dtick=1
    )
    return figure


def reliability_diagram(reliability: Reliability, *, colour: str) -> go.Figure:
    """The share of true detections by score, with the diagonal on which a score is a probability."""
    filled = np.flatnonzero(reliability.counts)
    edges = reliability.edges
    figure = go.Figure()
    figure.add_bar(
        x=((edges[:-1] + edges[1:]) / 2)[filled].round(4).tolist(),
        y=_rounded(reliability.precisions[filled].tolist(), 4),
        width=float(edges[1] - edges[0]) * 0.94,
        marker_color=colour,
        customdata=[[f"{edges[i]:.2f} to {edges[i + 1]:.2f}", int(reliability.counts[i])] for i in filled.tolist()],
        hovertemplate="score %{customdata[0]}: %{y:.1%} of %{customdata[1]} are true<extra></extra>",
        showlegend=False,
    )
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": DIAGONAL, "dash": "dash", "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    _lay_out(figure, height=290)
    figure.update_xaxes(title_text="score", range=[0, 1], dtick=0.2)
    figure.update_yaxes(title_text="share that is true", range=[0, 1.02], dtick=0.2)
    return figure


def plain_text(text: str) -> str:
    """Text that plotly, which reads a little HTML, shows letter by letter."""
    return html.escape(text, quote=False)


def library() -> str:
    """plotly.js itself, about 5 MB of JavaScript."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _lay_out(figure: go.Figure, *, height: int, **more: Any) -> None:  # Any: what plotly's layout takes
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 54, "r": 12, "t": 34, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left"},
        dragmode=False,
        hovermode="closest",
        font={"size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        **more,
    )
    figure.update_xaxes(fixedrange=True, automargin=True, zeroline=False, title_standoff=6, title_font_size=13)
    figure.update_yaxes(fixedrange=True, automargin=True, zeroline=False, title_standoff=6, title_font_size=13)


def _rounded(values: Sequence[float], digits: int) -> list[float]:
    return [round(float(value), digits) for value in values]
