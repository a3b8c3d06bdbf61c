"""Bar charts and line plots as SVG, readable on light and on dark pages."""

import math
from html import escape

# Each stands out on white and on black.
COLOURS = ["#2f81f7", "#d29922", "#3fb950", "#db61a2", "#8b949e", "#f85149"]
STYLE = """
<style>
  text { font: 12px system-ui, sans-serif; fill: #57606a; }
  .title { font-weight: 600; font-size: 14px; }
  .line { stroke: #8b949e; stroke-opacity: 0.35; fill: none; }
  @media (prefers-color-scheme: dark) { text { fill: #b1bac4; } }
</style>
"""


def svg(width, height, parts):
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
    )
    return "\n".join([head + STYLE, *parts, "</svg>", ""])


def text(x, y, words, css="", anchor="start"):
    css = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(words)}</text>'


def bars(panels, width=760):
    """Panels of `(title, [(label, value, is_own)])`, one below the other."""
    parts, y = [], 0
    names, room = 190, width - 190 - 90
    for title, rows in panels:
        y += 28
        parts.append(text(0, y, title, "title"))
        most = max(value for _, value, _ in rows)
        for label, value, is_own in rows:
            y += 22
            length = max(value / most * room, 1)
            colour = COLOURS[0] if is_own else COLOURS[4]
            parts.append(text(names - 8, y, label, anchor="end"))
            parts.append(
                f'<rect x="{names}" y="{y - 12}" width="{length:.1f}" height="16" rx="2" fill="{colour}"/>'
            )
            parts.append(text(names + length + 6, y, f"{value:,.0f}/s"))
        y += 10
    return svg(width, y + 6, parts)


def lines(title, x_title, series, width=760, height=300):
    """Series of `(name, [(x, y)])`: x by powers, y from 0."""
    left, right, top, bottom = 70, 200, 40, 46
    series = [(name, [(x, y) for x, y in points if y is not None]) for name, points in series]
    series = [(name, points) for name, points in series if points]
    xs = sorted({x for _, points in series for x, _ in points})
    most = nice(max(y for _, points in series for _, y in points))
    # Zero has a place of its own, left of the first power.
    def place(x):
        logs = [math.log10(max(value, 1)) for value in xs]
        span = (max(logs) - min(logs)) or 1
        return left + (math.log10(max(x, 1)) - min(logs)) / span * (width - left - right)

    def level(y):
        return height - bottom - y / most * (height - top - bottom)

    parts = [text(0, 18, title, "title")]
    for step in range(5):
        y = most * step / 4
        parts.append(f'<path class="line" d="M{left} {level(y):.1f}H{width - right}"/>')
        parts.append(text(left - 8, level(y) + 4, f"{y:,.0f}", anchor="end"))
    for x in xs:
        parts.append(text(place(x), height - bottom + 18, short(x), anchor="middle"))
    parts.append(text((left + width - right) / 2, height - 8, x_title, anchor="middle"))
    for number, (name, points) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if number >= len(COLOURS) else ""
        path = " ".join(f"{place(x):.1f},{level(y):.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        parts += [
            f'<circle cx="{place(x):.1f}" cy="{level(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in points
        ]
        at = top + number * 18
        parts.append(
            f'<path d="M{width - right + 16} {at - 4}h18" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        parts.append(text(width - right + 40, at, name))
    return svg(width, height, parts)


def nice(most):
    """The next number of 1, 2, 4 or 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(max(most, 1)))
    return next(power * digit for digit in (1, 2, 4, 8, 10) if power * digit >= most)


def short(number):
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size and number % size == 0:
            return f"{number // size}{letter}"
    return f"{number:,}"
