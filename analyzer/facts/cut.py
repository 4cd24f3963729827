"""What a walk hands to a rewrite: what stays, what is constant, which nodes remain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analyzer.algebra.constants import Constants
from analyzer.algebra.keeps import Keeps


@dataclass(frozen=True, slots=True)
class CutPlan:
    """`live` are indices of nodes that stay; `materialized` values that a stored constant replaces."""

    keeps: Keeps
    facts: Mapping[str, Constants]
    live: frozenset[int]
    materialized: frozenset[str]
