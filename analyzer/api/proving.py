"""What a probe says of units, held against every input of a domain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analyzer.api.auditing import Model, audit
from analyzer.api.domains import domain_without_probe, drawn_probe
from analyzer.api.exporting import as_file
from analyzer.api.options import Data, Progress, Run
from analyzer.api.proof_result import Proof
from analyzer.errors import InputError
from analyzer.facts.domain_words import ANY
from analyzer.facts.thresholds import Thresholds
from analyzer.runtime.loading import load_model

DRAWN = 1000  # points of the domain that stand in for a probe


def prove(
    model: Model,
    data: Data | Any = None,
    *,
    domain: Any = ANY,
    budget: float = 60.0,
    seed: int = 0,
    arithmetic: str = "float32",
    run: Run | None = None,
    thresholds: Thresholds | str = "default",
    progress: Progress | None = None,
) -> Proof:
    """Ask whether what a probe says of units, dead or always on, holds for every input of a domain.

    Args:
        model: as for `audit()`.
        data: as for `audit()`; without a probe, points of the domain stand in for one.
        domain: what inputs there are: `{"input": (0.0, 1.0)}`, a path (`.vnnlib`, `.json`, `.yaml`, `.csv`, `.npz`),
            or one of "pixels", "tokens", "model", "probe-range", "any", "0:1". A list of mappings: one of these boxes.
            "any" asks what holds whatever is fed; nothing is searched then.
        budget: seconds that proofs and the search for inputs which refute a claim may take.
        seed: which inputs are tried.
        arithmetic: what proofs hold for: "float32", sums in any order; "tf32", where the factors of products are
            rounded to 11 bits before; "float16", where everything is rounded to halves; or "real", the formulas, which
            says nothing of what a runtime computes.
        run: as for `audit()`.
        thresholds: as for `audit()`.
        progress: called as samples are run and as the search goes on.

    Raises:
        InputError: the model, the data or the domain cannot be used, or a sample lies outside of the domain.
        ProofContradicted: an input does what was proven to be impossible: a bug of ours.
    """
    given, drawn = Data.of(data), 0
    if given.random is not None:
        raise InputError("random says that samples are drawn, and a domain is drawn from anyhow: leave it out.")
    if given.probe is None:
        model, _ = as_file(model, given)
        loaded = load_model(model)
        domain = domain_without_probe(loaded, domain, given.images)
        if not domain.bounded:
            raise InputError("Inputs that may be any number cannot be drawn: give a probe (--probe DATA), or a domain.")
        given, drawn = Data(drawn_probe(domain, loaded.graph.inputs, DRAWN, seed)), DRAWN
    audited = audit(model, given, run=run, thresholds=thresholds, causes=False, progress=progress)
    proof = audited.prove(domain=domain, budget=budget, seed=seed, arithmetic=arithmetic, progress=progress)
    return replace(proof, facts=replace(proof.facts, probe=None, drawn=drawn)) if drawn else proof
