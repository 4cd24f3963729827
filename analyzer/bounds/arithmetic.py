"""How far what a runtime computes may be from the formula, and how far our own bounds may be: in float32, any order.

With u = 2^-24, a sum of n products, taken in any order and with any of them fused, is off by at most n u times the sum
of the products' magnitudes (Jeannerod and Rump, "Improved error bounds for inner products in floating-point
arithmetic", 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.algebra.pattern import Array

UNIT = 2.0**-24  # half a last digit in single precision
DOUBLE_UNIT = 2.0**-53  # in double precision
LARGEST = float.fromhex("0x1.fffffep127")  # the largest number in single precision
LARGEST_VALUE = 1e30  # from it on sums may pass that, in any order
TINIEST = 2.0**-126  # below it numbers are less exact, and may be flushed to 0
MOST_TERMS = 100_000  # of a sum; of more, what is neglected in the bound of the error would count
_REWRITES = 8  # roundings more where a runtime folds a normalisation or a factor into weights
_SAFETY = 1.02  # for products of errors, and for constants that are rounded to single precision


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`unit`: the rounding of one operation; `factors`: that of a factor before it is multiplied.

    Where numbers are too small for all of their digits, a rounding may be off by `faint`, too. Stored factors of a
    smaller magnitude than `small` have fewer digits, or none; times what widens a radius `lost` is more than they can
    be off by. Numbers from `large` on may overflow.
    """

    unit: float
    factors: float = 0.0
    faint: float = TINIEST
    small: float = 2.0**-120
    lost: float = 2.0**-105
    large: float = LARGEST_VALUE

    @property
    def narrow(self) -> bool:
        """Whether all numbers that are computed, fed and stored are rounded to fewer digits than bounds have."""
        return self.large < LARGEST_VALUE

    def off(self, terms: int) -> float:
        """By how much bounds of a sum must be widened, as a multiple of the sum of the magnitudes of its terms.

        The last summand is for the bounds' own arithmetic, in float32: the middle, the radius and the ends of an
        interval, and the sums of as many terms for middle and radius.
        """
        return self.computed(terms) + _SAFETY * (2 * terms + 24) * UNIT

    def computed(self, terms: int) -> float:
        """By how much a runtime's sum may be off, as such a multiple."""
        return _SAFETY * ((terms + 2 + _REWRITES) * self.unit + 2 * self.factors) if self.unit else 0.0


#: What a proof can be about: formulas, or what a runtime computes. TensorFloat keeps 11 bits of each factor; halves
#: keep 11 of everything, sums included, and numbers below 2^-14 are whole multiples of 2^-24.
ARITHMETIC = {
    "float32": Arithmetic(UNIT),
    "tf32": Arithmetic(UNIT, factors=2.0**-11),
    "float16": Arithmetic(2.0**-11, 2.0**-11, faint=2.0**-24, small=2.0**-14, lost=2.0**-14, large=65504.0),
    "real": Arithmetic(0.0),
}


def halves_around(low: Array, high: Array) -> tuple[Array, Array]:
    """What lies around the halves to which numbers in between are rounded; beyond the largest half, the ends."""
    with np.errstate(over="ignore"):
        halves = [np.asarray(end, np.float16).astype(np.float64) for end in (low, high)]
    below, above = (np.where(np.isinf(half), end, half) for half, end in zip(halves, (low, high), strict=True))
    return rounded_down(np.minimum(below, low)), rounded_up(np.maximum(above, high))


def are_halves(array: Array) -> bool:
    """Whether each of these numbers is a half, so that nothing is rounded."""
    with np.errstate(over="ignore"):
        return bool((np.asarray(array, np.float16).astype(np.float64) == array).all())


def rounded_down(array: Array) -> Array:
    """The largest numbers in single precision, infinite ones left out, that are not above these."""
    single = _single(array)
    return _moved(single, single > array, -np.inf)


def rounded_up(array: Array) -> Array:
    """The smallest that are not below these."""
    single = _single(array)
    return _moved(single, single < array, np.inf)


def _single(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return _finite(np.asarray(array, np.float32))


def _moved(single: Array, places: Array, end: float) -> Array:
    """With the next number towards an end in some places."""
    if not places.any():
        return single
    with np.errstate(over="ignore"):
        return np.asarray(np.where(places, _finite(np.nextafter(single, np.float32(end))), single))


def _finite(single: Array) -> Array:
    return np.asarray(np.clip(single, -np.float32(LARGEST), np.float32(LARGEST)))  # NumPy 1 widens single numbers else
