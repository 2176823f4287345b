"""Accent colours: from the one a sender chose to those that can be read on our pages.

In: `#rrggbb`. Out: for light and dark pages a colour to fill buttons with, one to write on them,
and one to write links and draw outlines with, each with the contrast that WCAG 2.2 AA asks for
(§1.4.3: 4.5 to 1), whatever was chosen. No I/O.
"""

from dataclasses import dataclass

AA = 4.5
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_INK, _PAPER = (20, 22, 26), _WHITE
_STEPS = 64

Rgb = tuple[int, int, int]

# Of the grounds in `templates/pages/style.css` those on which contrast is hardest to get:
# the darkest by day (a notice) and the lightest by night (a caution).
LIGHT_GROUND = (0xEA, 0xF2, 0xEA)
DARK_GROUND = (0x33, 0x29, 0x1A)


@dataclass(frozen=True, slots=True)
class Shades:
    """A button's `fill`, `strong` when pointed at, `on_fill` for its words; `ink` of links."""

    fill: str
    strong: str
    on_fill: str
    ink: str


def light(accent: str) -> Shades:
    """For light pages: the button keeps the colour itself."""
    chosen = _parsed(accent)
    return _shades(chosen, _readable(chosen, LIGHT_GROUND, _BLACK))


def dark(accent: str) -> Shades:
    """For dark pages: the button is as light as the links are."""
    ink = _readable(_parsed(accent), DARK_GROUND, _WHITE)
    return _shades(ink, ink)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, from 1 to 21."""
    return _contrast(_parsed(one), _parsed(other))


def _shades(fill: Rgb, ink: Rgb) -> Shades:
    on_fill = max((_PAPER, _INK), key=lambda tone: _contrast(tone, fill))
    if _contrast(on_fill, fill) < AA:  # a middling tone takes only plain black
        on_fill = _BLACK
    away = _BLACK if on_fill == _PAPER else _WHITE
    return Shades(*(_spelled(tone) for tone in (fill, _mixed(fill, away, 0.15), on_fill, ink)))


def _readable(tone: Rgb, ground: Rgb, towards: Rgb) -> Rgb:
    """`tone`, moved towards black or white until it can be read on `ground`."""
    for step in range(_STEPS + 1):
        moved = _mixed(tone, towards, step / _STEPS)
        if _contrast(moved, ground) >= AA:
            return moved
    return towards


def _mixed(tone: Rgb, towards: Rgb, share: float) -> Rgb:
    red, green, blue = (
        round(one + (other - one) * share) for one, other in zip(tone, towards, strict=True)
    )
    return red, green, blue


def _contrast(one: Rgb, other: Rgb) -> float:
    lower, higher = sorted((_luminance(one), _luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


def _luminance(tone: Rgb) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in tone)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parsed(colour: str) -> Rgb:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def _spelled(tone: Rgb) -> str:
    return "#" + bytes(tone).hex()
