"""Plots as SVG that needs nothing beside itself: lines over an axis, and bars. They follow the reader's light or dark.

One file, no script, no font and no address of anything outside, so that a plot can be mailed, kept and put on a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

from kcactors.load.axis import Axis, Scale, axis, short

WIDTH: Final = 720
_HEIGHT: Final = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 58, 46
_BAR, _GAP = 18, 10
_LABEL_PX: Final = 6.7
_LABELS_MAX: Final = 420.0
_COLOURS: Final = 6

STYLE: Final = """
.plot{--ink:#1f2933;--dim:#66727f;--grid:#e3e8ed;--paper:#ffffff;
--c0:#2463c4;--c1:#c8590c;--c2:#0d8567;--c3:#a5359f;--c4:#8a6a00;--c5:#5b6572;
font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){.plot{--ink:#e8edf2;--dim:#9aa7b4;--grid:#2d3741;--paper:#161c22;
--c0:#6ea8fe;--c1:#ff9e54;--c2:#4fd1a5;--c3:#e28be0;--c4:#e0bf4f;--c5:#a9b4bf}}
.plot .paper{fill:var(--paper)}.plot text{fill:var(--dim)}.plot .title{fill:var(--ink);font-size:14px;font-weight:600}
.plot .value{fill:var(--ink)}.plot .grid{stroke:var(--grid);stroke-width:1}.plot .line{fill:none;stroke-width:2;
stroke-linejoin:round;stroke-linecap:round}.plot .dashed{stroke-dasharray:5 4}.plot .spread{stroke:var(--ink);
stroke-width:1.5}
""" + "".join(f".plot .s{n}{{stroke:var(--c{n})}}.plot .f{n}{{fill:var(--c{n})}}" for n in range(_COLOURS))


class Series(msgspec.Struct, frozen=True):
    """A named line. ``dashed`` marks what others are compared with; ``dots`` shows each point."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    dots: bool = False


class Bar(msgspec.Struct, frozen=True):
    """A named value; ``low`` and ``high`` draw its spread, ``colour`` is an index."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    colour: int = 0


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    x_scale: Scale = Scale.LINEAR,
    y_scale: Scale = Scale.LINEAR,
) -> str:
    """Lines over a common axis.

    Args:
        title: what is to be seen.
        series: the lines; empty ones are left out.
        x: what the horizontal axis counts, with its unit.
        y: what the vertical axis counts, with its unit.
        x_scale: how the horizontal axis is spread.
        y_scale: how the vertical axis is spread.
    """
    drawn = [each for each in series if each.points]
    across = axis(x_scale, [point[0] for each in drawn for point in each.points])
    up = axis(y_scale, [point[1] for each in drawn for point in each.points])
    parts = [*_frame(title, across, up, x, y), *_legend(drawn)]
    for number, each in enumerate(drawn):
        places = [(_across(across.at(px)), _up(up.at(py))) for px, py in each.points]
        colour = number % _COLOURS
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
        dashed = " dashed" if each.dashed else ""
        parts.append(f'<polyline class="line s{colour}{dashed}" points="{path}"/>')
        if each.dots:
            parts += [f'<circle class="f{colour}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in places]
    if not drawn:
        parts.append(_text(WIDTH / 2, _HEIGHT / 2, "nothing was measured", "middle"))
    return _svg(title, _HEIGHT, parts)


def bars(title: str, rows: Sequence[Bar], *, unit: str) -> str:
    """Bars from the left, one below the other, with their values written beside them."""
    widest = max((len(row.name) for row in rows), default=0)
    left = min(_LABELS_MAX, 24 + widest * _LABEL_PX)
    fits = int((_LABELS_MAX - 24) / _LABEL_PX)
    room = WIDTH - left - 20 - 12 - max((len(row.text) for row in rows), default=0) * _LABEL_PX
    scale = axis(Scale.LINEAR, [value for row in rows for value in (row.value, row.high or 0.0)])
    parts = [_text(20, 26, title, css="title"), _text(20, 44, unit)]
    for number, row in enumerate(rows):
        top = 60 + number * (_BAR + _GAP)
        middle, length = top + _BAR / 2, max(1.5, scale.at(row.value) * room)
        parts.append(_text(left - 8, middle + 4, _cut(row.name, fits), "end"))
        parts.append(
            f'<rect class="f{row.colour % _COLOURS}" x="{left:.1f}" y="{top}" width="{length:.1f}" '
            f'height="{_BAR}" rx="2"/>'
        )
        end = length
        if row.low is not None and row.high is not None:
            low, end = scale.at(row.low) * room, max(length, scale.at(row.high) * room)
            parts.append(
                f'<path class="spread" d="M{left + low:.1f} {middle}H{left + scale.at(row.high) * room:.1f}"/>'
            )
        parts.append(_text(left + end + 8, middle + 4, row.text, css="value"))
    return _svg(title, 60 + len(rows) * (_BAR + _GAP) + 10, parts)


def _cut(text: str, fits: int) -> str:
    return text if len(text) <= fits else text[: fits - 1] + "…"


def _frame(title: str, across: Axis, up: Axis, x: str, y: str) -> list[str]:
    parts = [_text(20, 26, title, css="title")]
    for tick in up.ticks():
        height = _up(tick.at)
        parts.append(f'<path class="grid" d="M{_LEFT} {height:.1f}H{WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, height + 4, tick.text, "end"))
    for tick in across.ticks():
        place = _across(tick.at)
        parts.append(f'<path class="grid" d="M{place:.1f} {_HEIGHT - _BOTTOM}v5"/>')
        parts.append(_text(place, _HEIGHT - _BOTTOM + 18, tick.text, "middle"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 8, x, "middle"))
    parts.append(
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y)}</text>'
    )
    return parts


def _legend(series: Sequence[Series]) -> list[str]:
    parts, place = [], 20.0
    for number, each in enumerate(series):
        dashed = " dashed" if each.dashed else ""
        parts.append(f'<path class="line s{number % _COLOURS}{dashed}" d="M{place:.0f} 40h18"/>')
        parts.append(_text(place + 24, 44, each.name))
        place += 42 + len(each.name) * _LABEL_PX
    return parts


def _across(share: float) -> float:
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _up(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _text(x: float, y: float, text: str, anchor: str = "start", css: str = "") -> str:
    named = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><style>{STYLE}</style>'
        f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="8"/>{"".join(parts)}</svg>'
    )


__all__ = ["STYLE", "WIDTH", "Bar", "Scale", "Series", "bars", "lines", "short"]
