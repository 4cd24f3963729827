"""Texts that are a domain by themselves, without a file."""

from __future__ import annotations

from analyzer.errors import InputError
from analyzer.facts.wording import suggestion

ANY = "any"  # every input that there can be
WORDS = ("pixels", "tokens", "model", "probe-range", ANY)


def pair_in(text: str) -> tuple[float, float] | None:
    """The two ends in `0:1`; None where it is no such text."""
    low, colon, high = text.partition(":")
    try:
        return (float(low), float(high)) if colon else None
    except ValueError:
        return None


def is_no_file(stated: str) -> bool:
    """Whether a text is a word, or a range."""
    return stated in WORDS or pair_in(stated) is not None


def no_such_domain(stated: str) -> InputError:
    """What to say of a text that is neither a domain nor the name of a file."""
    return InputError(f"There is no domain {stated!r}{suggestion(stated, (*WORDS, '0:1', 'domain.vnnlib'))}")
