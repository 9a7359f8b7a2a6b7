"""The pictures of a report as SVG and PNG text: they follow a light or dark page and need no request.

Every picture is at most 360 units wide, the width of a telephone, so that its letters never shrink below what was set.
"""

import base64
import math
import struct
import zlib
from html import escape

import numpy as np
from jaxtyping import Float, UInt8

WIDTH = 360
# one mark and one colour (a variable of the page's style) for each network; the reader's own is the page's ink
MARKS = ("circle", "square", "triangle", "diamond", "down", "bar")
# ColorBrewer's RdBu, red below 0 and blue above, readable by colour-blind people
RED_BLUE = np.array([
    (103, 0, 31), (178, 24, 43), (214, 96, 77), (244, 165, 130), (253, 219, 199), (247, 247, 247), (209, 229, 240),
    (146, 197, 222), (67, 147, 195), (33, 102, 172), (5, 48, 97),
], dtype=float)  # fmt: skip


def png(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """A picture as a ``data:`` address."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    # every row begins with the byte of its filter, 0 for none
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    whole = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(whole).decode()


def photograph(image: Float[np.ndarray, "c h w"]) -> str:
    """An image in [0, 1] of one or three channels (of others the first) as a ``data:`` address."""
    shown = image if len(image) == 3 else image[:1].repeat(3, axis=0)
    return png((255 * np.clip(shown, 0, 1)).round().astype(np.uint8).transpose(1, 2, 0))


def diverging(values: Float[np.ndarray, "h w"], limit: float) -> UInt8[np.ndarray, "h w 3"]:
    """Red below 0, white at 0, blue above, full at ``limit``."""
    place = (np.clip(values / limit, -1, 1) + 1) / 2 * (len(RED_BLUE) - 1)
    return (
        np.stack([np.interp(place, np.arange(len(RED_BLUE)), column) for column in RED_BLUE.T], -1).round().astype(np.uint8)
    )


def text(x: float, y: float, words: str, *, anchor: str = "middle", kind: str = "") -> str:
    """Letters at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(words)}</text>'


def _mark(kind: str, x: float, y: float, style: str, size: float = 4) -> str:
    """A network's mark."""
    corners = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)], "triangle": [(0, -1.2), (1.2, 1), (-1.2, 1)],
        "diamond": [(0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)], "down": [(0, 1.2), (1.2, -1), (-1.2, -1)],
        "bar": [(-0.5, -1.4), (0.5, -1.4), (0.5, 1.4), (-0.5, 1.4)],
    }  # fmt: skip
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" class="{style}"/>'
    points = " ".join(f"{x + size * a:.1f},{y + size * b:.1f}" for a, b in corners[kind])
    return f'<polygon points="{points}" class="{style}"/>'


def svg(width: float, height: float, body: str, alt: str) -> str:
    """A picture with a text for those who do not see it."""
    return (f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" aria-label="{escape(alt, quote=True)}">'
            f"<title>{escape(alt)}</title>{body}</svg>")  # fmt: skip


# Accuracy against the size.


def curve(lines: list[dict], eps: float, unit: str, alt: str) -> str:
    """Accuracy (percent) against the size; ``lines``: ``{style, mark, points}``, points (size, mean, low, high)."""
    left, right, top, bottom, height = 46, 12, 18, 42, 274
    far = max(size for line in lines for size, *_ in line["points"]) * 1.04

    def at(size: float, share: float) -> tuple[float, float]:
        return left + (WIDTH - left - right) * size / far, height - bottom - (height - top - bottom) * share / 100

    body = ""
    for share in (0, 25, 50, 75, 100):
        y = at(0, share)[1]
        body += f'<path d="M{left} {y:.1f}H{WIDTH - right}" class="grid"/>' + text(
            left - 6, y + 4, f"{share} %", anchor="end"
        )
    for tick in ticks(far):
        x = at(tick, 0)[0]
        body += f'<path d="M{x:.1f} {height - bottom}v4" class="axis"/>' + text(
            x, height - bottom + 17, f"{tick:g}{unit if tick else ''}"
        )
    x = at(eps, 0)[0]
    body += f'<path d="M{x:.1f} {top}V{height - bottom}" class="asked"/>' + text(
        x, top - 4, f"ε = {eps:g}{unit}", kind="small"
    )
    for line in lines:
        places = [at(size, mean) for size, mean, *_ in line["points"]]
        body += f'<path d="M{"L".join(f"{a:.1f} {b:.1f}" for a, b in places)}" class="line {line["style"]}"/>'
        for (size, _, low, high), (a, b) in zip(line["points"], places, strict=True):
            ends = [at(size, share)[1] for share in (low, high)]
            body += f'<path d="M{a:.1f} {ends[0]:.1f}V{ends[1]:.1f}" class="line {line["style"]}"/>'
            body += _mark(line["mark"], a, b, f"fill {line['style']}", 4.5 if line["style"] == "own" else 3.5)
    body += text((left + WIDTH - right) / 2, height - 6, "size ε of the perturbation (l∞)")
    return svg(WIDTH, height, body, alt)


def ticks(far: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to ``far``, about ``count``.

    >>> ticks(0.31), ticks(9.4)
    ([0.0, 0.1, 0.2, 0.3], [0.0, 2.0, 4.0, 6.0, 8.0])
    """
    rough = far / count
    base = 10 ** math.floor(math.log10(rough))
    step = min((step for step in (base, 2 * base, 5 * base, 10 * base) if step >= rough * 0.999), default=base)
    return [float(f"{k * step:.6g}") for k in range(int(far / step + 1e-9) + 1)]


# A part of the indicator.


def distribution(found: dict, published: list[dict], scale: float, alt: str) -> str:
    """The histogram of a part on a logarithmic axis, the median as a line, published networks' medians as marks below.

    ``published``: ``{style, mark, value}``; values are multiplied by ``scale`` for the axis.
    """
    width, floor, top, left, right = 270, 66, 8, 6, 6
    edges, counts = np.array(found["edges"]) * scale, found["counts"]
    medians = [each["value"] * scale for each in published if each["value"] > 0]
    height = floor + (54 if medians else 22)
    low, high = min([edges[0], *medians]), max([edges[-1], *medians])
    span = max(math.log10(high / low), 0.2)

    def at(value: float) -> float:
        return left + (width - left - right) * (0.02 + 0.96 * math.log10(value / low) / span)

    body = ""
    for a, b, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            size = (floor - top) * count / max(counts)
            place = f'x="{at(a):.1f}" y="{floor - size:.1f}" width="{max(at(b) - at(a), 1):.2f}" height="{size:.1f}"'
            body += f'<rect {place} class="bar"/>'
    body += f'<path d="M{left} {floor}H{width - right}" class="axis"/>'
    if found["median"] > 0:
        x = at(found["median"] * scale)
        body += f'<path d="M{x:.1f} {top - 4}V{floor}" class="line own"/>'
    rows = [-99.0, -99.0, -99.0]
    for each in sorted((each for each in published if each["value"] > 0), key=lambda each: each["value"]):
        x = at(each["value"] * scale)
        # marks that would meet go below each other
        row = next((k for k, end in enumerate(rows) if x - end > 10), 2)
        rows[row] = x
        body += _mark(each["mark"], x, floor + 9 + 10 * row, f"fill {each['style']}")
    last = -99.0
    for tick in decades(low, high):
        x = at(tick)
        # letters of neighbouring numbers must not meet
        if x - last > 34 and left + 8 <= x <= width - right - 8:
            body += f'<path d="M{x:.1f} {floor}v-4" class="axis"/>' + text(x, floor + (48 if medians else 16), f"{tick:.4g}")
            last = x
    return svg(width, height, body, alt)


def decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between the ends; those powers alone over more than three of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if math.log10(high / low) <= 2.2 else (1,)
    found = [float(f"{step * 10.0**power:.6g}") for power in powers for step in steps]
    return [value for value in found if low * 0.999 <= value <= high * 1.001]


# A decision surface.


def surface(
    values: Float[np.ndarray, "k k"], axis: Float[np.ndarray, "k"], *, eps: float, limit: float, scale: float, unit: str,
    alt: str,
) -> str:  # fmt: skip
    """S on a plane: the map, S = 0 as a thick line, the ball's section as a diamond, the image as a dot."""
    left, top, side = 46, 6, 266
    reach = float(axis[-1])

    def at(a: float, b: float) -> str:
        return f"{left + side * (a + reach) / (2 * reach):.1f} {top + side * (reach - b) / (2 * reach):.1f}"

    # rows of the grid grow upwards, those of a picture downwards; a node is the middle of its pixel
    step = side / (len(axis) - 1)
    place = f'x="{left - step / 2:.2f}" y="{top - step / 2:.2f}" width="{side + step:.2f}" height="{side + step:.2f}"'
    frame = f'x="{left}" y="{top}" width="{side}" height="{side}"'
    colours = png(diverging(values[::-1], limit))
    body = f'<svg {frame} viewBox="{left} {top} {side} {side}"><image href="{colours}" {place} class="map"/>'
    lines = "".join(f"M{at(*start)}L{at(*end)}" for start, end in zero_segments(values, axis))
    diamond = "L".join(at(*corner) for corner in ((eps, 0), (0, eps), (-eps, 0), (0, -eps)))
    body += f'<path d="{lines}" class="zero"/><path d="M{diamond}Z" class="ball"/></svg>'
    body += (
        f'<rect {frame} class="frame"/><circle cx="{at(0, 0).split()[0]}" cy="{at(0, 0).split()[1]}" r="3.5" class="dot"/>'
    )
    for tick in (-2, -1, 0, 1, 2):
        x, y = at(tick * eps, tick * eps).split()
        words = f"{tick * eps * scale:.3g}"
        body += text(float(x), top + side + 16, words) + text(left - 6, float(y) + 4, words, anchor="end")
    body += text(left + side / 2, top + side + 34, f"α along −sign ∇S{f', in 1{unit}' if unit else ''}")
    body += f'<text transform="translate(9 {top + side / 2}) rotate(-90)" text-anchor="middle">β along random signs</text>'
    return svg(left + side + 12, top + side + 42, body, alt)


def zero_segments(values: Float[np.ndarray, "k k"], axis: Float[np.ndarray, "k"]) -> list[tuple[tuple, tuple]]:
    """Where the values, linear along the edges of the grid's cells, are 0: straight pieces of each cell (rows are beta)."""
    pieces = []
    corners = ((0, 0), (0, 1), (1, 1), (1, 0))
    above, k = values > 0, len(values) - 1
    count = sum(above[a : k + a, b : k + b].astype(int) for a, b in corners)
    for row, column in np.argwhere((count > 0) & (count < 4)):
        ends = []
        for (a, b), (c, d) in zip(corners, (*corners[1:], corners[0]), strict=True):
            first, second = values[row + a, column + b], values[row + c, column + d]
            if (first > 0) != (second > 0):
                share = first / (first - second)
                ends.append(tuple(axis[column + p] + share * (axis[column + q] - axis[column + p]) if k == 0 else
                                  axis[row + p] + share * (axis[row + q] - axis[row + p])
                                  for k, (p, q) in enumerate(((b, d), (a, c)))))  # fmt: skip
        pieces += [tuple(ends[k : k + 2]) for k in range(0, len(ends) - 1, 2)]
    return pieces


def scale_bar(limit: float) -> str:
    """The colours of S."""
    strip = png(diverging(np.linspace(-limit, limit, 64)[None], limit))
    body = f'<image href="{strip}" x="10" y="4" width="200" height="12" preserveAspectRatio="none" class="map"/>'
    body += (
        text(10, 30, f"{-limit:.3g}", anchor="start") + text(110, 30, "S = 0") + text(210, 30, f"{limit:.3g}", anchor="end")
    )
    return svg(
        220, 34, body, f"Colours of S from {-limit:.3g}, red and misclassified, to {limit:.3g}, blue and classified rightly"
    )


def swatch(style: str, mark: str) -> str:
    """A network's line and mark for a legend."""
    body = f'<path d="M1 7H25" class="line {style}"/>' + _mark(mark, 13, 7, f"fill {style}")
    return f'<svg viewBox="0 0 26 14" width="26" aria-hidden="true">{body}</svg>'
