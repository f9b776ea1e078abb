"""Numbers as a reader wants them: as many digits as their interval supports, signs and units where they belong."""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.statistics import Interval

DASH = "—"
MINUS = "−"


def decimals(half_widths: Iterable[float]) -> int:
    """How many decimals a column of intervals supports: one digit of the middle half width, two where it begins with 1.

    1 where no half width is above 0.
    """
    widths = sorted(width for width in half_widths if width > 0 and math.isfinite(width))
    if not widths:
        return 1
    width = widths[len(widths) // 2]
    exponent = math.floor(math.log10(width))
    return max(0, -exponent + int(width < 2 * 10.0**exponent))


def half_width(interval: Interval) -> float:
    """Half the distance between the bounds."""
    return (interval.high - interval.low) / 2


def fixed(value: float, places: int, signed: bool = False) -> str:
    """`83.1`, `−0.4`, `1,234`; with `signed` `+0.4`. A zero has no sign."""
    text = f"{abs(value):,.{places}f}"
    if not text.strip("0."):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def ranged(interval: Interval, places: int, signed: bool = False) -> str:
    """`83.1 [81.9, 84.2]`; `0` where value and both bounds are zero."""
    if interval.value == interval.low == interval.high == 0:
        return "0"
    value, low, high = (fixed(v, places, signed) for v in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def significant(value: float, digits: int = 3) -> str:
    """`0.00123`, `7.90`, `1,230`: so many significant digits, never an exponent, thousands set apart."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    places = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{places}f}".replace("-", MINUS)


def measured(interval: Interval) -> str:
    """`7.9 [7.6, 8.1]`: two significant digits, three where the interval supports them."""
    wide = half_width(interval) > 0.02 * abs(interval.value)
    digits = 2 if wide else 3
    places = max(0, digits - 1 - math.floor(math.log10(abs(interval.value)))) if interval.value else 1
    return ranged(interval, places)


def times(value: float) -> str:
    """`1`, `7.9`, `13`, `0.64`: a ratio without an interval."""
    return significant(value, 2 if value < 100 else 3).removesuffix(".0")


def mib(value: float) -> str:
    """`45.0`, `0.12`, `< 0.01`: sizes of files, in MiB."""
    return "< 0.01" if 0 < value < 0.01 else significant(value, 3 if value >= 1 else 2)


def off(value: float) -> str:
    """How far a ratio may be off: `±0.52 %`; `÷ or × 2.6` where the two sides differ visibly."""
    return f"±{significant(value * 100, 2)} %" if value < 0.1 else f"÷ or × {significant(1 + value, 2)}"


def count(value: int) -> str:
    """`11,868,162`."""
    return f"{value:,}"


def seconds(value: float) -> str:
    """`0.8 s`, `42 s`, `3 min 20 s`, `2 h 05 min`."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def share(value: float) -> str:
    """A share as percent with the digits that a bar needs: 0.95 → `95 %`, 0.995 → `99.5 %`."""
    return f"{value * 100:.6g} %"


def chance(value: float) -> str:
    """A probability in whole percents, never one of the certainties that resamples cannot show: `< 1 %`, `> 99 %`."""
    return "< 1 %" if value < 0.005 else "> 99 %" if value >= 0.995 else f"{value * 100:.0f} %"


def superscript(number: int) -> str:
    """12 → `¹²`, the mark of a footnote."""
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
