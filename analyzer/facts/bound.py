"""How sure "fired on none of n samples" is: the one-sided Clopper-Pearson bound.

It bounds the share of samples on which a unit fires, in data drawn like the probe: an assumption that only
the user can check.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def firing_bound_of(samples: int) -> float:
    """Largest share for which seeing none of `samples` fire has probability 1 - CONFIDENCE; 1 with no samples.

    That is 1 - (1 - CONFIDENCE) ** (1 / samples).
    """
    return -math.expm1(math.log1p(-CONFIDENCE) / samples) if samples else 1.0


def samples_for_bound(share: float) -> int:
    """Fewest samples of which none fired that bound the firing share by `share`: 59 for 5 %."""
    return math.ceil(math.log1p(-CONFIDENCE) / math.log1p(-share))
