"""How sure "fired on k of n samples" is: the one-sided Clopper-Pearson bound.

It bounds the share of samples on which a unit fires, in data drawn like the probe: an assumption that only
the user can check.
"""

from __future__ import annotations

import math

import numpy as np

CONFIDENCE = 0.95
_BISECTIONS = 100  # halves [0, 1] down to the last bit of a double near any bound that matters


def firing_bound_of(fired: int, samples: int, confidence: float = CONFIDENCE) -> float:
    """Largest share p for which seeing at most `fired` of `samples` has probability 1 - confidence.

    With none fired this is 1 - (1 - confidence) ** (1 / samples); with no samples, or all fired, it is 1.

    Raises:
        ValueError: the counts or the confidence make no sense.
    """
    if not 0 <= fired <= samples:
        raise ValueError(f"{fired} of {samples} samples is not a count: give 0 <= fired <= samples.")
    if not 0 < confidence < 1:
        raise ValueError(f"A confidence of {confidence} is not between 0 and 1.")
    if fired == samples:
        return 1.0
    if fired == 0:
        return -math.expm1(math.log1p(-confidence) / samples)
    chances = _log_choices(fired, samples)
    low, high = fired / samples, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        if _at_most(chances, fired, samples, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def samples_for_bound(share: float, confidence: float = CONFIDENCE) -> int:
    """Fewest samples of which none fired that bound the firing share by `share`: 59 for 5 % at 95 %."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-share))


def _log_choices(fired: int, samples: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """log C(samples, i) for i = 0 … fired."""
    i = np.arange(1, fired + 1, dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(np.log(samples - i + 1) - np.log(i))])


def _at_most(chances: np.ndarray[tuple[int], np.dtype[np.float64]], fired: int, samples: int, share: float) -> float:
    """Probability of at most `fired` successes, summed in logarithms."""
    i = np.arange(fired + 1, dtype=np.float64)
    logs = chances + i * math.log(share) + (samples - i) * math.log1p(-share)
    top = float(logs.max())
    return math.exp(top) * float(np.exp(logs - top).sum())
