"""Python's arithmetic over columns of numbers: each function returns the values, and the rows that are in doubt.

Python's ints are unbounded and its division by zero raises, so a result beyond int64 and a division by zero are in doubt.
So is a computed NaN: which of two NaNs' bits it has is the compiler's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from meshport.process.columns.cells import EXACT, NOWHERE, Mask, union

Numbers = NDArray[Any]
Result = tuple[Numbers, Mask]

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1
# Below this product of their floats, the product of two ints is in int64.
_SAFE: Final = 9.2e18
# From here on all floats are whole numbers.
_WHOLE: Final = 2.0**52
# Splits a float into two floats of half its digits each (Dekker 1971).
_SPLITTER: Final = 2.0**27 + 1


def _bounds(numbers: Numbers) -> tuple[int, int]:
    return (int(numbers.min()), int(numbers.max())) if np.size(numbers) else (0, 0)


def _within(*numbers: int) -> bool:
    return min(numbers) >= _LEAST and max(numbers) <= _MOST


def _not_a_number(found: Numbers) -> Mask:
    unknown = np.isnan(found)
    return unknown if unknown.any() else NOWHERE


def add(one: Numbers, other: Numbers) -> Result:
    """Return `one + other` of ints."""
    found = one + other
    (low, high), (least, most) = _bounds(one), _bounds(other)
    if _within(low + least, high + most):
        return found, NOWHERE
    return found, ((one ^ found) & (other ^ found)) < 0


def subtract(one: Numbers, other: Numbers) -> Result:
    """Return `one - other` of ints."""
    found = one - other
    (low, high), (least, most) = _bounds(one), _bounds(other)
    if _within(low - most, high - least):
        return found, NOWHERE
    return found, ((one ^ other) & (one ^ found)) < 0


def multiply(one: Numbers, other: Numbers) -> Result:
    """Return `one * other` of ints."""
    found = one * other
    (low, high), (least, most) = _bounds(one), _bounds(other)
    if _within(low * least, low * most, high * least, high * most):
        return found, NOWHERE
    return found, np.abs(one.astype(np.float64) * other.astype(np.float64)) >= _SAFE


def _nonzero(divisor: Numbers) -> tuple[Numbers, Mask]:
    zero = divisor == 0
    return (np.where(zero, divisor.dtype.type(1), divisor), zero) if zero.any() else (divisor, NOWHERE)


def divide_ints(one: Numbers, other: Numbers) -> Result:
    """Return `one / other` of ints; in doubt where converting them to floats would round a second time."""
    divisor, zero = _nonzero(other)
    doubt = zero
    for each in (one, divisor):
        low, high = _bounds(each)
        if low < -EXACT or high > EXACT:
            doubt = union(doubt, (each < -EXACT) | (each > EXACT))
    return one.astype(np.float64) / divisor.astype(np.float64), doubt


def floor_divide(one: Numbers, other: Numbers) -> Result:
    """Return `one // other` of ints."""
    divisor, doubt = _nonzero(other)
    if _bounds(one)[0] == _LEAST:
        beyond = (one == _LEAST) & (divisor == -1)
        divisor, doubt = np.where(beyond, np.int64(1), divisor), union(doubt, beyond)
    return one // divisor, doubt


def remainder(one: Numbers, other: Numbers) -> Result:
    """Return `one % other` of ints, with the sign of the divisor."""
    divisor, doubt = _nonzero(other)
    return one % np.where(divisor == -1, np.int64(1), divisor), doubt


def negate(number: Numbers) -> Result:
    """Return `-number` of an int."""
    return -number, (number == _LEAST if _bounds(number)[0] == _LEAST else NOWHERE)


def absolute(number: Numbers) -> Result:
    """Return `abs(number)` of an int."""
    return np.abs(number), (number == _LEAST if _bounds(number)[0] == _LEAST else NOWHERE)


def add_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one + other` of floats."""
    found = one + other
    return found, _not_a_number(found)


def subtract_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one - other` of floats."""
    found = one - other
    return found, _not_a_number(found)


def multiply_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one * other` of floats."""
    found = one * other
    return found, _not_a_number(found)


def divide_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one / other` of floats."""
    divisor, zero = _nonzero(other)
    found = one / divisor
    return found, union(zero, _not_a_number(found))


def _remainders(one: Numbers, other: Numbers) -> tuple[Numbers, Numbers, Numbers, Mask]:
    """Return dividend, divisor, C's remainder and doubt; infinities and NaN are in doubt."""
    divisor, doubt = _nonzero(other)
    unknown = ~(np.isfinite(one) & np.isfinite(divisor))
    if unknown.any():
        one, divisor = np.where(unknown, 1.0, one), np.where(unknown, 1.0, divisor)
        doubt = union(doubt, unknown)
    return one, divisor, np.fmod(one, divisor), doubt


def remainder_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one % other` of floats, as CPython's `float_rem`: with the sign of the divisor, for zero too."""
    _, divisor, rest, doubt = _remainders(one, other)
    turned = np.where((rest < 0) != (divisor < 0), rest + divisor, rest)
    return np.where(rest == 0, np.copysign(0.0, divisor), turned), doubt


def floor_divide_floats(one: Numbers, other: Numbers) -> Result:
    """Return `one // other` of floats, as CPython's `_float_div_mod`."""
    dividend, divisor, rest, doubt = _remainders(one, other)
    quotient = (dividend - rest) / divisor
    quotient = np.where((rest != 0) & ((rest < 0) != (divisor < 0)), quotient - 1.0, quotient)
    floored = np.floor(quotient)
    floored = np.where(quotient - floored > 0.5, floored + 1.0, floored)
    return np.where(quotient == 0, np.copysign(0.0, dividend / divisor), floored), doubt


def negate_float(number: Numbers) -> Result:
    """Return `-number` of a float."""
    return -number, NOWHERE


def absolute_float(number: Numbers) -> Result:
    """Return `abs(number)` of a float."""
    return np.abs(number), NOWHERE


INTS: Final[Mapping[str, Callable[[Numbers, Numbers], Result]]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide_ints,
    "//": floor_divide,
    "%": remainder,
}
FLOATS: Final[Mapping[str, Callable[[Numbers, Numbers], Result]]] = {
    "+": add_floats,
    "-": subtract_floats,
    "*": multiply_floats,
    "/": divide_floats,
    "//": floor_divide_floats,
    "%": remainder_floats,
}


def whole(rounding: Callable[[Numbers], Numbers]) -> Callable[[Numbers], Result]:
    """Return a function from floats to ints, such as `int`, `round`, `floor` and `ceil`; ints beyond int64 are in doubt.

    Args:
        rounding: rounds floats to whole floats.
    """

    def run(number: Numbers) -> Result:
        rounded = rounding(number)
        fits = (rounded >= -(2.0**63)) & (rounded < 2.0**63)
        if fits.all():
            return rounded.astype(np.int64), NOWHERE
        return np.where(fits, rounded, 0.0).astype(np.int64), ~fits

    return run


def round_digits(digits: int) -> Callable[[Numbers], Result]:
    """Return `round(number, digits)` of floats: to the nearest decimal, halves to the even one, as CPython rounds them.

    The product with a power of ten is computed with its rounding error (Dekker 1971), which distinguishes a half from a
    number near one; the quotient of two whole numbers is then rounded once.

    Args:
        digits: 0 to 15.
    """
    scale = 10.0**digits

    def run(number: Numbers) -> Result:
        product = number * scale
        safe = np.abs(product) < _WHOLE
        doubt = NOWHERE
        if not safe.all():
            doubt = ~safe
            number, product = np.where(safe, number, 0.0), np.where(safe, product, 0.0)
        nearest = np.rint(product)
        apart = product - nearest
        halves = np.abs(apart) == 0.5
        if halves.any():
            error = _product_error(number, scale, product)
            nearest = np.where((apart == 0.5) & (error > 0), nearest + 1.0, nearest)
            nearest = np.where((apart == -0.5) & (error < 0), nearest - 1.0, nearest)
        return nearest / scale, doubt

    return run


def _product_error(one: Numbers, other: float, product: Numbers) -> Numbers:
    """Return the exact rounding error of a product of floats."""
    high = one * _SPLITTER - (one * _SPLITTER - one)
    low = one - high
    other_high = other * _SPLITTER - (other * _SPLITTER - other)
    other_low = other - other_high
    return low * other_low - (((product - high * other_high) - low * other_high) - high * other_low)


def hour(micros: Numbers) -> Result:
    """Return the hour of the day, 0 to 23, of microseconds since 1970."""
    return micros // 3_600_000_000 % 24, NOWHERE


def days(micros: Numbers) -> Result:
    """Return the days since 1970 of microseconds since 1970."""
    return micros // 86_400_000_000, NOWHERE


def seconds(micros: Numbers) -> Result:
    """Return microseconds as seconds, rounded once."""
    return divide_ints(micros, np.array(1_000_000, np.int64))
