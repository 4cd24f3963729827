"""`analyzer.verify`: what a certificate says comes out again, and whatever was changed in it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

import analyzer
from analyzer.bounds.linear_bounds import LinearBounds
from analyzer.cli.main import run
from analyzer.errors import InputError
from analyzer.facts.domain import Box, Domain
from analyzer.facts.proof import Method, Outcome
from analyzer.probes.numpy_files import read_npz
from analyzer.rewrite.masks import archive
from tests.models import parse
from tests.shipped import schema_of
from tests.unit.api.test_prove import EQUAL, EQUAL_PROBE, EQUAL_STORED, PROBE, STORED, TEXT

STATEMENT = "certificate.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "model.onnx"
    onnx.save(parse(TEXT, STORED), path)
    return path


@pytest.fixture(scope="module")
def certificate(model: Path) -> Path:
    path = model.with_name("certificate")
    analyzer.prove(model, PROBE, domain="0:1").save_certificate(path)
    return path


def changed(certificate: Path, target: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A copy in which the statement and the arrays were changed."""
    arrays: dict[str, Any] = {name: np.array(array) for name, array in read_npz(certificate).items()}
    statement = json.loads(arrays[STATEMENT].tobytes())
    change(statement, arrays)
    arrays[STATEMENT] = np.frombuffer(json.dumps(statement).encode(), np.uint8)
    target.write_bytes(archive(arrays))
    return target


def test_what_was_proven_and_refuted_comes_out_again(model: Path, certificate: Path) -> None:
    verified = analyzer.verify(model, certificate)
    assert verified.holds
    assert (verified.facts.proven, verified.facts.refuted, verified.facts.open) == (3, 2, 0)
    jsonschema.validate(verified.to_dict(), schema_of("verify"))


@pytest.mark.parametrize("work", [1 << 35, 8000])
@pytest.mark.parametrize("seed", [3, 13])
def test_linear_bounds_are_asked_for_as_they_were_when_it_was_proven(
    seed: int, work: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of fewer rows other values would be within the work that is allowed, and lines would lie otherwise."""
    model, probe = _bent(np.random.default_rng(seed))
    monkeypatch.setattr("analyzer.bounds.linear_bounds.MOST_WORK", work)
    computed, bounded = list[tuple[Any, ...]](), LinearBounds.bounds

    def spied(self: LinearBounds, box: Any, asked: Any, *others: Any) -> Any:
        boxes = bounded(self, box, asked, *others)
        wanted = {name: (each.above.tolist(), each.below.tolist()) for name, each in asked.items()}
        computed.append((wanted, self.skipped, {n: (b.low.tolist(), b.high.tolist()) for n, b in boxes.items()}))
        return boxes

    monkeypatch.setattr(LinearBounds, "bounds", spied)
    monkeypatch.setattr("analyzer.witness.search.Search.climb", lambda *_: True)  # for as long as the budget
    proof = analyzer.prove(model, probe, domain="-0.3:0.3", budget=60)
    assert {Method.LINEAR, Method.CORNERS, None} <= {unit.method for unit in proof.units}
    proof.save_certificate(tmp_path / "certificate")
    then = computed[0]
    computed.clear()
    assert analyzer.verify(model, tmp_path / "certificate").holds
    assert computed[0] == then and bool(then[1]) == (work < 1 << 35)


def _bent(random: np.random.Generator) -> tuple[onnx.ModelProto, np.ndarray[Any, Any]]:
    """Four layers, most units dead on a probe of [-0.3, 0.3], by much or by little, and some always on."""
    stored, lines, value, x = dict[str, np.ndarray[Any, Any]](), list[str](), "x", random.uniform(-0.3, 0.3, (400, 14))
    for number in range(4):
        weights = random.normal(size=(x.shape[1], 10))
        bias = -(x @ weights).max(0) * random.choice([0.6, 1.02, 1.05, 1.3, -1.5], 10)
        x = np.maximum(x @ weights + bias, 0)
        stored |= {f"w{number}": weights.astype(np.float32), f"b{number}": bias.astype(np.float32)}
        lines.append(f"h{number} = Gemm ({value}, w{number}, b{number}) y{number} = Relu (h{number})")
        value = f"y{number}"
    stored["v"] = random.normal(size=(10, 2)).astype(np.float32)
    text = f"g (float[n,14] x) => (float[n,2] z) {{ {' '.join(lines)} z = MatMul ({value}, v) }}"
    return parse(text, stored), random.uniform(-0.3, 0.3, (60, 14)).astype(np.float32)


def test_what_is_negligible_is_computed_again(tmp_path: Path) -> None:
    model, path = tmp_path / "model.onnx", tmp_path / "certificate"
    onnx.save(parse(EQUAL, EQUAL_STORED), model)
    analyzer.prove(model, EQUAL_PROBE, domain={"x": (-1, 1)}, budget=20).save_certificate(path)
    verified = analyzer.verify(model, path)
    assert verified.holds and verified.facts.negligible == 1 and "1 negligible again" in verified.report()

    def smaller(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        for unit in statement["units"]:
            unit["change"] = unit["change"] and unit["change"] / 2

    failed = analyzer.verify(model, changed(path, tmp_path / "changed", smaller)).facts.failed
    assert [f.outcome for f in failed] == [Outcome.NEGLIGIBLE] and "may change" in failed[0].why


def with_small_outputs(arrays: dict[str, Any]) -> None:
    arrays["large/x"][:] = 0


def with_inputs_of_elsewhere(arrays: dict[str, Any]) -> None:
    arrays["large/x"] *= 1e6


def without_inputs(arrays: dict[str, Any]) -> None:
    del arrays["large/x"]


@pytest.mark.parametrize("change", [with_small_outputs, with_inputs_of_elsewhere, without_inputs])
def test_beside_what_a_unit_is_negligible_is_shown_again(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    model, path = tmp_path / "model.onnx", tmp_path / "certificate"
    onnx.save(parse(EQUAL, EQUAL_STORED), model)
    analyzer.prove(model, EQUAL_PROBE, domain={"x": (-1, 1)}, budget=20).save_certificate(path)
    other = changed(path, tmp_path / "changed", lambda _, arrays: change(arrays))
    failed = analyzer.verify(model, other).facts.failed
    assert [f.outcome for f in failed] == [Outcome.NEGLIGIBLE] and "more than a thousandth" in failed[0].why


def test_inputs_that_are_no_list_are_refused(tmp_path: Path) -> None:
    model, path = tmp_path / "model.onnx", tmp_path / "certificate"
    onnx.save(parse(EQUAL, EQUAL_STORED), model)
    analyzer.prove(model, EQUAL_PROBE, domain={"x": (-1, 1)}, budget=20).save_certificate(path)

    def single(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["large/x"] = np.float32(0)

    with pytest.raises(InputError, match="make it again"):
        analyzer.verify(model, changed(path, tmp_path / "changed", single))


def test_what_is_negligible_by_linear_bounds_alone_is_computed_again(tmp_path: Path) -> None:
    """Two equal units that are always on, less one another: intervals of the two leave as much as both can vary."""
    text, path = EQUAL.replace("h = MatMul (x, w)", "h = Gemm (x, w, b)"), tmp_path / "certificate"
    stored = EQUAL_STORED | {"b": np.full(2, 30, np.float32), "v": np.array([[1, 1], [-1, 1]], np.float32)}
    proof = analyzer.prove(parse(text, stored), EQUAL_PROBE, domain={"x": (-1, 1)}, budget=20)
    (unit,) = (u for u in proof.units if (u.value, u.unit) == ("a", 0))
    assert unit.outcome is Outcome.NEGLIGIBLE and unit.change is not None and unit.change < 0.01
    proof.save_certificate(path)
    assert analyzer.verify(parse(text, stored), path).holds


def as_proven(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    for unit in statement["units"]:
        if unit["unit"] == 1:
            unit |= {"outcome": "proven", "method": "intervals", "witness": None}


def as_decided(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    for unit in statement["units"]:
        if unit["unit"] == 0:
            unit["method"] = "weights"


def at_another_constant(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    for unit in statement["units"]:
        if unit["unit"] == 0:
            unit["stays_at"] = 1.0


def with_tame_witnesses(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["witness/x"][:] = 0.3


def with_witnesses_outside(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    arrays["witness/x"][:] = 5


def without_witnesses(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    del arrays["witness/x"]


def about_no_unit(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    statement["units"][0]["unit"] = 6


@pytest.mark.parametrize(
    ("change", "sentence", "failures"),
    [
        (as_proven, "Bounds that were computed again do not show it", 1),
        (as_decided, "The weights do not decide it", 1),
        (at_another_constant, "Bounds that were computed again do not show it", 1),
        (with_tame_witnesses, "Its witness does not show it", 2),
        (with_witnesses_outside, "no input of the domain", 2),
        (without_witnesses, "Its witness is missing", 2),
        (about_no_unit, "The model has no such unit", 1),
    ],
)
def test_what_was_changed_does_not_come_out_again(
    change: Callable[[dict[str, Any], dict[str, Any]], None],
    sentence: str,
    failures: int,
    model: Path,
    certificate: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = changed(certificate, tmp_path / "changed", change)
    verified = analyzer.verify(model, file)
    assert [sentence in failed.why for failed in verified.facts.failed] == [True] * failures
    assert run(["verify", str(model), str(file)]) == 1
    assert capsys.readouterr().out.startswith("The certificate does not hold")


def test_a_narrower_domain_is_another_one(model: Path, certificate: Path, tmp_path: Path) -> None:
    def narrowed(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["domain/0/high/x"][:] = 0.5

    with pytest.raises(InputError, match="not the one that its statement is about"):
        analyzer.verify(model, changed(certificate, tmp_path / "changed", narrowed))


def redigested(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
    bounds = Box(arrays["domain/0/low/x"], arrays["domain/0/high/x"])
    statement["domain"]["digest"] = Domain(({"x": bounds},), "").digest


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(1, 0, "f4"), (np.nan, np.nan, "f4"), (0, 1, "i8"), (0, 1, "f8"), (0, 1, "?")]
)
def test_a_domain_of_no_numbers_of_the_inputs_type_is_refused(
    low: float, high: float, dtype: str, model: Path, certificate: Path, tmp_path: Path
) -> None:
    """Of nothing all holds; and whole numbers between 0 and 1 are two."""

    def other(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        for end, number in (("low", low), ("high", high)):
            arrays[f"domain/0/{end}/x"] = np.full(arrays[f"domain/0/{end}/x"].shape, number, dtype)
        redigested(statement, arrays)

    with pytest.raises(InputError, match="no numbers that the model takes"):
        analyzer.verify(model, changed(certificate, tmp_path / "changed", other))


@pytest.mark.parametrize("outcome", [None, "open"])
def test_one_claim_is_made_once(outcome: str | None, model: Path, certificate: Path, tmp_path: Path) -> None:
    def twice(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        first = statement["units"][-1]
        statement["units"].append(first | ({"outcome": outcome, "witness": None} if outcome else {}))

    with pytest.raises(InputError, match="several things of one claim"):
        analyzer.verify(model, changed(certificate, tmp_path / "changed", twice))


def test_what_is_said_of_the_domain_is_what_lies_beside_it(model: Path, certificate: Path, tmp_path: Path) -> None:
    def wider(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        statement["domain"]["ranges"] = {"x": [-1e9, 1e9]}

    verified = analyzer.verify(model, changed(certificate, tmp_path / "changed", wider))
    assert verified.facts.domain.ranges == {"x": (0, 1)}


def test_what_counts_as_constant_is_told_where_it_is_more_than_usual(
    model: Path, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rougher(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        statement["ulps"] = 5000

    assert run(["verify", str(model), str(certificate)]) == 0
    assert "last place" not in capsys.readouterr().out
    file = changed(certificate, tmp_path / "changed", rougher)
    assert run(["verify", str(model), str(file)]) == 0
    assert "vary by 5,000 units in the last place" in capsys.readouterr().out.replace("\n", " ")
    assert analyzer.verify(model, file).to_dict()["ulps"] == 5000


def test_a_certificate_is_about_one_model(certificate: Path) -> None:
    other = parse(TEXT, STORED | {"b": STORED["b"] + 1})
    with pytest.raises(InputError, match="is about another model"):
        analyzer.verify(other, certificate)


@pytest.mark.parametrize("content", [b"", b"no archive", archive({"x": np.ones(3)})])
def test_what_is_no_certificate_is_refused(content: bytes, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="file"):
        analyzer.verify(model, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be read"):
        analyzer.verify(model, tmp_path / "missing")


def test_a_statement_of_another_version_is_refused(model: Path, certificate: Path, tmp_path: Path) -> None:
    def later(statement: dict[str, Any], arrays: dict[str, Any]) -> None:
        statement["schema"] = "deadunits.certificate/2"

    with pytest.raises(InputError, match="no certificate of this version"):
        analyzer.verify(model, changed(certificate, tmp_path / "changed", later))


def test_one_command_writes_it_and_another_one_checks_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe, file = tmp_path / "probe.npy", tmp_path / "proof.certificate"
    np.save(probe, PROBE)
    assert run(["prove", str(model), "--probe", str(probe), "--domain", "0:1", "--certificate", str(file)]) == 0
    assert f"Written  {file}" in capsys.readouterr().out.replace("\n", "")
    assert run(["verify", str(model), str(file)]) == 0
    assert capsys.readouterr().out.startswith("The certificate holds\n3 proven again, 2 refuted again")


def test_pictures_and_unions_are_checked_as_well(tmp_path: Path) -> None:
    corners = [{"x": [[0, 0, 0], [1, 1, 0.4]]}, {"x": [[0, 0, 0], [0.4, 1, 1]]}]
    path = tmp_path / "certificate"
    proof = analyzer.prove(parse(TEXT, STORED), PROBE[PROBE.max(axis=1) <= 0.4], domain=corners)
    proof.save_certificate(path)
    verified = analyzer.verify(parse(TEXT, STORED), path)
    assert verified.holds
    assert verified.facts.proven == proof.facts.counts()[Outcome.PROVEN] > 2
