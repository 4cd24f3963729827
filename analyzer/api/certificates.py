"""Certificates as files: one archive with the statement, the bounds of the domain, and the witnesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analyzer.algebra.pattern import Array
from analyzer.errors import InputError
from analyzer.facts.domain import Box, Domain
from analyzer.facts.proof import Outcome, ProofFacts
from analyzer.probes.numpy_files import read_npz
from analyzer.regular_files import check_regular
from analyzer.report.documents import Tool
from analyzer.report.prove.certificate import Statement, from_text, to_text
from analyzer.rewrite.masks import archive
from analyzer.witness.points import Points

_STATEMENT, _WITNESS, _LARGE = "certificate.json", "witness/", "large/"


@dataclass(frozen=True, eq=False)
class Certificate:
    """What is stated, for which domain, and inputs: [inputs, …], each a whole feed.

    Attributes:
        witnesses: inputs that refute claims.
        large: those that show how large outputs are, beside which units are negligible.
    """

    statement: Statement
    domain: Domain
    witnesses: Points
    large: Points


def certificate_bytes(facts: ProofFacts, domain: Domain, witnesses: Points, large: Points, ulps: int) -> bytes:
    """The file of a proof; `large` goes in where a unit is negligible.

    Raises:
        OutputError: an archive cannot hold the name of an input.
    """
    statement = Statement(Tool(), facts.model.sha256, facts.domain, facts.arithmetic, ulps, facts.units)
    arrays: dict[str, Array] = {_STATEMENT: np.frombuffer(to_text(statement).encode(), np.uint8)}
    for number, box in enumerate(domain.boxes):
        for name, bounds in box.items():
            arrays[f"domain/{number}/low/{name}"], arrays[f"domain/{number}/high/{name}"] = bounds.low, bounds.high
    arrays |= {f"{_WITNESS}{name}": array for name, array in witnesses.items()}
    if any(unit.outcome is Outcome.NEGLIGIBLE for unit in facts.units):
        arrays |= {f"{_LARGE}{name}": array for name, array in large.items()}
    return archive(arrays)


def read_certificate(path: str | Path) -> Certificate:
    """The certificate that a file holds, whole.

    Raises:
        InputError: it cannot be read, or is none.
    """
    file = Path(path)
    try:
        arrays = read_npz(check_regular(file))
    except OSError as error:
        raise InputError(f"The certificate {file} cannot be read: {error.strerror or error}.") from error
    if _STATEMENT not in arrays or arrays[_STATEMENT].dtype != np.uint8:
        raise InputError(f"{file.name} is no certificate: give a file of `deadunits prove --certificate`.")
    statement = from_text(arrays[_STATEMENT].tobytes(), file.name)
    boxes = tuple(_box(arrays, number) for number in range(statement.domain.boxes))
    domain = Domain(boxes, statement.domain.source, statement.domain.conditional)
    if not boxes or domain.digest != statement.domain.digest:
        raise InputError(f"The domain in {file.name} is not the one that its statement is about: make it again.")
    return Certificate(statement, domain, _below(_WITNESS, arrays), _below(_LARGE, arrays))


def _below(prefix: str, arrays: Mapping[str, Array]) -> Points:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _box(arrays: Mapping[str, Array], number: int) -> dict[str, Box]:
    low, high = (_below(f"domain/{number}/{side}/", arrays) for side in ("low", "high"))
    return {name: Box(low[name], high[name]) for name in low.keys() & high.keys()}
