"""Small drawings as SVG text: series over time, and marks of states. Pure; colours come from the style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from markupsafe import Markup

MARKS: Final = {
    "running": '<circle cx="6" cy="6" r="4"/>',
    "up": '<circle cx="6" cy="6" r="4"/>',
    "degraded": '<path d="M6 2a4 4 0 0 0 0 8z"/><circle cx="6" cy="6" r="4" fill="none" stroke="currentColor"/>',
    "starting": '<circle cx="6" cy="6" r="3.5" fill="none" stroke="currentColor" stroke-dasharray="2 2"/>',
    "suspended": '<path d="M3 2h2v8H3zM7 2h2v8H7z"/>',
    "backing_off": '<path d="M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8M6 3.5V6h2.5" fill="none" stroke="currentColor"/>',
    "failed": '<path d="M6 1l5 9H1z"/>',
    "halted": '<rect x="2.5" y="2.5" width="7" height="7"/>',
    "lost": '<path d="M2 2l8 8M10 2l-8 8" fill="none" stroke="currentColor" stroke-width="2"/>',
    "parked": '<path d="M3 1.5h4a3 3 0 0 1 0 6H5V11H3z"/>',
    "stopping": '<circle cx="6" cy="6" r="4" fill="none" stroke="currentColor"/>',
    "stopped": '<circle cx="6" cy="6" r="4" fill="none" stroke="currentColor"/>',
}
"""A shape for every state, so that nobody needs the colour."""


def mark(state: str) -> Markup:
    """The shape and the word of a state."""
    shape = MARKS.get(state, MARKS["stopped"])
    word = escape(state.replace("_", " "))
    return Markup(  # noqa: S704 - made of escaped words and our own shapes
        f'<span class="state" data-state="{escape(state)}"><svg viewBox="0 0 12 12" width="12" height="12" '
        f'aria-hidden="true" fill="currentColor">{shape}</svg><span>{word}</span></span>'
    )


def line(
    values: Sequence[float], label: str, *, width: int = 120, height: int = 24, slots: int = 0
) -> Markup:
    """A series as a filled line, the newest on the right; the highest value touches the top.

    Args:
        values: the oldest first.
        label: what a screen reader says.
        width: in pixels, where nothing else decides.
        height: the same.
        slots: how many values the full width holds, so that a short series stays on the right; 0: as many as there are.
    """
    top = max(values, default=0.0)
    if top <= 0 and len(values) > 2:
        # A flat line is two points, and most are flat.
        slots = max(slots, len(values))
        start = width - width / (slots - 1) * (len(values) - 1)
        return _framed(
            f"{start:.1f},{height - 1:.1f} {width:.1f},{height - 1:.1f}", start, label, width, height
        )
    count = max(slots, len(values), 2)
    step = width / (count - 1)
    start = width - step * (len(values) - 1) if values else 0.0
    points = [
        f"{start + index * step:.1f},{height - 1 - (height - 2) * (value / top if top > 0 else 0.0):.1f}"
        for index, value in enumerate(values)
    ]
    return _framed(" ".join(points) if len(points) > 1 else "", start, label, width, height)


def _framed(points: str, start: float, label: str, width: int, height: int) -> Markup:
    body = ""
    if points:
        area = f"{start:.1f},{height} {points} {width},{height}"
        body = f'<polygon class="area" points="{area}"/><polyline class="line" points="{points}"/>'
    return Markup(  # noqa: S704 - made of numbers and an escaped label
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'preserveAspectRatio="none" aria-label="{escape(label)}">{body}</svg>'
    )


def bar(parts: Sequence[tuple[str, float]], label: str, *, width: int = 320, height: int = 14) -> Markup:
    """Shares of a whole, side by side; each part has a class of its own (``part-<name>``)."""
    whole = sum(amount for _, amount in parts)
    at = 0.0
    body = ""
    for name, amount in parts:
        length = width * amount / whole if whole > 0 else 0.0
        if length > 0:
            body += (
                f'<rect class="part-{escape(name)}" x="{at:.1f}" y="0" width="{max(1.0, length):.1f}" '
                f'height="{height}"/>'
            )
        at += length
    return Markup(  # noqa: S704 - made of numbers and escaped words
        f'<svg class="bar" viewBox="0 0 {width} {height}" role="img" preserveAspectRatio="none" '
        f'aria-label="{escape(label)}"><rect class="ground" width="{width}" height="{height}"/>{body}</svg>'
    )


def age(seconds: float | None) -> str:
    """A duration for a glance: two digits that matter and a unit."""
    if seconds is None:
        return "-"
    if seconds <= 0:
        return "0"
    if seconds < 0.0005:
        return f"{max(1.0, seconds * 1e6):.0f} µs"
    if seconds < 1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.1f} ms"
    for limit, unit_s, unit in (
        (60, 1, "s"),
        (3600, 60, "min"),
        (86400 * 2, 3600, "h"),
        (float("inf"), 86400, "d"),
    ):
        if seconds < limit:
            value = seconds / unit_s
            whole = value >= 9.95 or value == int(value)
            return f"{value:.0f} {unit}" if whole else f"{value:.1f} {unit}"
    raise AssertionError("the last limit is infinite")


def count(number: float | None) -> str:
    """A number for a glance, with thin spaces between thousands."""
    if number is None:
        return "-"
    if 0 < abs(number) < 10 and number != int(number):
        return f"{number:.1f}"
    return f"{number:,.0f}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    """A share of one as a percentage."""
    return "-" if share is None else f"{share * 100:.1f} %"
