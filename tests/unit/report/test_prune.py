"""What a person sees of a prune."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from analyzer.facts.audit import AuditFacts
from analyzer.facts.pruned import PrunedFacts
from analyzer.report.prune.terminal import render
from analyzer.report.prune.worth import unaligned, verdict
from tests.made import facts, first_dead
from tests.made_pruned import comparison, latency, pruned, with_everything


def shown(made: PrunedFacts, audit: AuditFacts | None = None, width: int = 110, *, show_all: bool = False) -> str:
    stream = io.StringIO()
    render(audit or facts(), made, Console(file=stream, width=width), written="small.onnx", show_all=show_all)
    return " ".join(stream.getvalue().split())


def test_what_it_is_worth_comes_first_and_the_file_last() -> None:
    text = shown(pruned())
    assert text.startswith("Saves 90.7 % of the parameters; runs 1.25 times as fast.")
    assert text.endswith("Written small.onnx")


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (pruned(latency=latency(0.8)), "Saves 90.7 % of the parameters; runs 1.25 times as fast."),
        (pruned(latency=latency(0.99)), "Saves 90.7 % of the parameters; no speed gain measured."),
        (pruned(latency=latency(0.8, spread=0.3)), "Saves 90.7 % of the parameters; no speed gain measured."),
        (pruned(latency=latency(1.2)), "Saves 90.7 % of the parameters; it is slower."),
        (pruned(latency=None), "Saves 90.7 % of the parameters; the speed was not measured."),
        (pruned(changed=False, removed_units={}), "Nothing to remove: the dead units stay, see below."),
        (pruned(changed=False), "Nothing to remove: the dead units stay."),
    ],
)
def test_the_verdict_is_honest(made: PrunedFacts, sentence: str) -> None:
    assert verdict(facts(), made) == sentence


def test_without_dead_units_nothing_was_to_be_done() -> None:
    assert verdict(facts([first_dead(8, 0, "relu")]), pruned(changed=False)) == "Nothing to remove: no unit is dead."


def test_a_lost_alignment_is_named_where_no_speed_was_gained() -> None:
    assert unaligned(facts(), pruned()) == (2, 16)
    text = shown(pruned(latency=latency(1.0)))
    assert "2 layers lost a width that is a multiple of 16, which may be why: try --round-to 16" in text
    assert "--round-to" not in shown(pruned(latency=latency(0.5)))
    assert unaligned(facts(), pruned(removed_units={"/net/0/Relu_output_0": tuple(range(16))})) is None


def test_sizes_are_before_and_after() -> None:
    text = shown(pruned())
    for words in ("6,474 600 -90.7 %", "6,368 578 -90.9 %", "27 kB 3.2 kB -88.1 %", "512 B 130 B -74.6 %"):
        assert words in text
    assert "1 ms 800 µs 0.80 of it, half of 40 runs in 0.80-0.81" in text


def test_the_probe_is_judged_and_noise_is_for_information() -> None:
    text = shown(pruned())
    same = "the same top answer on 100 % of samples"
    assert f"probe 360 samples: differ by at most 2e-07 of their scale (2e-06), {same}; within 5e-05" in text
    assert f"probe + noise 360 samples: differ by at most 0.01 of their scale (0.1), {same}; for information" in text


def test_units_that_the_holdout_revives_are_named() -> None:
    layers = (
        replace(first_dead(64, 60, "/net/0/Relu_output_0"), revived=(2, 3, 9)),
        first_dead(32, 3, "/net/2/Relu_output_0"),
    )
    text = shown(pruned(holdout=comparison(0.2, source="holdout.npz")), facts(layers))
    assert "holdout 360 samples: differ by at most 0.2" in text
    assert "more than the 5e-05 of rounding" in text
    assert "The holdout revives 3 removed units: /net/0/Relu_output_0: 2-3, 9" in text


def test_a_lossy_cut_leads_with_the_change() -> None:
    made = pruned(comparison=comparison(0.03, top1=0.98), lossy_units={"/net/2/Relu_output_0": (1, 2)})
    assert shown(made).startswith(
        "Not exact: 2 units went that are not dead; the outputs change by up to 0.03 of their scale on the probe, "
        "the same top answer on 98 % of samples"
    )


def test_a_difference_that_cannot_be_told_is_said() -> None:
    assert "not finite, or another shape" in shown(pruned(holdout=comparison(float("inf"))))


def test_what_was_left_whole_and_what_stays_is_told() -> None:
    text = shown(with_everything())
    assert "Reshape_3: shape-computed-at-runtime (its target)" in text
    assert "2 units stay: only structural evidence" in text
    stays = replace(pruned(), removed_units={})
    assert "4 units residual-partner-alive in 1 layer" in shown(stays)
    assert "Dead, but stays" not in shown(pruned())


def test_random_data_is_called_random() -> None:
    audit = facts()
    assert audit.probe is not None
    assert "RANDOM DATA" in shown(pruned(), replace(audit, probe=replace(audit.probe, random=True)))
    assert "random data 360 samples" in shown(pruned(), replace(audit, probe=None))


@pytest.mark.parametrize(
    ("made", "basis"),
    [
        (pruned(), "for inputs on which the removed units stay dead, as on 360 samples of probe.npz"),
        (pruned(observed=False), "for every input that stays finite on the way"),
        (
            pruned(removed_relus=("a",)),
            "for inputs on which the removed units stay dead and the removed ReLUs on, as on 360 samples of probe.npz",
        ),
        (
            pruned(removed_units={}, removed_relus=("a",)),
            "for inputs on which the removed ReLUs stay on, as on 360 samples of probe.npz",
        ),
    ],
)
def test_the_basis_of_the_promise_is_told(made: PrunedFacts, basis: str) -> None:
    assert f"The same outputs, up to rounding, {basis} judged: 100 % of multiply-adds" in shown(made, width=160)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    stream = io.StringIO()
    render(facts(), with_everything(), Console(file=stream, width=width), written="small.onnx", show_all=True)
    assert max(map(len, stream.getvalue().splitlines())) <= width
