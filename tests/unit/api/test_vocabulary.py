"""Rows of embeddings that the data never gathers: counted, judged, removed with a map of ids in front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

import analyzer
from analyzer import Choice, Data
from analyzer.errors import InputError
from analyzer.facts.vocabulary import GatheredRows
from tests.models import Array, parse, run

ROWS, WIDTH = 40, 8
SEEN = np.array([0, 3, 7, 21, -1])  # the last one is row 39
BODY = "e = Gather(table, x) s = ReduceSum<keepdims=0>(e, one) h = MatMul(s, w1) r = Relu(h) y = MatMul(r, w2)"


def stored() -> dict[str, Array]:
    random = np.random.default_rng(3)
    w1 = random.normal(size=(WIDTH, 6)).astype(np.float32)
    w1[:, 2] = 0  # a dead unit beside
    return {
        "table": random.normal(size=(ROWS, WIDTH)).astype(np.float32),
        "w1": w1,
        "w2": random.normal(size=(6, 3)).astype(np.float32),
        "one": np.array([1]),
        "zero": np.array([0]),
    }


def model(body: str = BODY, outputs: str = "float[N, 3] y", more: dict[str, Array] | None = None) -> onnx.ModelProto:
    return parse(f"g (int64[N, T] x) => ({outputs}) {{ {body} }}", {**stored(), **(more or {})}, 18)


def ids(samples: int = 30, seen: Array = SEEN) -> Array:
    return np.random.default_rng(5).choice(seen, (samples, 4))


def pruned(proto: onnx.ModelProto, data: Any = None, **choice: Any) -> analyzer.Pruned:
    given = {"x": ids()} if data is None else data
    return analyzer.prune(proto, given, choice=Choice(vocabulary=True, **choice), latency=False)


def tables(proto: onnx.ModelProto, data: Any = None) -> dict[str, GatheredRows]:
    found = analyzer.audit(proto, {"x": ids()} if data is None else data, vocabulary=True).facts.vocabulary
    return {table.table: table for table in found or ()}


def test_rows_are_counted_whatever_way_an_id_is_written() -> None:
    table = tables(model())["table"]
    assert table.seen == (0, 3, 7, 21, 39)
    assert table.gathered == 120
    assert table.removable == 35 * WIDTH
    assert analyzer.audit(model(), {"x": ids()}).facts.vocabulary is None  # off unless asked for


def test_the_smaller_table_gives_the_same_for_the_same_ids(tmp_path: Path) -> None:
    before = model()
    result = pruned(before)
    assert result.facts.removed_rows == {"table": 35}
    assert result.facts.observed
    assert result.facts.notes[-1].endswith("are refused by onnxruntime on the CPU; elsewhere give --unseen-id.")
    result.save(tmp_path / "small.onnx")
    after = onnx.load(tmp_path / "small.onnx")
    assert {t.name: tuple(t.dims) for t in after.graph.initializer}["table"] == (5, WIDTH)
    assert [i.name for i in after.graph.input] == ["x"]
    for x in (ids(), ids(3)[:, :2], ids(1)):
        assert np.allclose(run(before, {"x": x})["y"], run(after, {"x": x})["y"], rtol=1e-5, atol=1e-5)
    assert result.masks()["table"].sum() == 5 * WIDTH
    assert {entry.key: entry.value for entry in after.metadata_props}["deadunits.evidence"] == "observed"


def test_an_id_that_was_not_seen_is_refused_and_not_read_as_another(tmp_path: Path) -> None:
    pruned(model()).save(tmp_path / "small.onnx")
    for other in (1, 5, 38, -2, ROWS, -ROWS - 1):
        with pytest.raises(InvalidArgument, match="out of data bounds"):
            run(onnx.load(tmp_path / "small.onnx"), {"x": np.array([[0, other]])})


@pytest.mark.parametrize("stand_in", [3, 5])
def test_an_id_that_was_not_seen_is_read_as_the_one_that_is_named(stand_in: int, tmp_path: Path) -> None:
    before = model()
    pruned(before, unseen_id=stand_in).save(tmp_path / "small.onnx")
    after = onnx.load(tmp_path / "small.onnx")
    for other in (1, 5, 38, -2):
        same = run(before, {"x": np.array([[0, stand_in]])})["y"]
        assert np.allclose(run(after, {"x": np.array([[0, other]])})["y"], same, rtol=1e-5, atol=1e-5)


def test_look_ups_of_one_table_share_what_they_gather(tmp_path: Path) -> None:
    before = parse("g (int64[N, T] x, int64[N] z) => (float y) { e = Gather(table, x) f = Gather(table, z) "
                   "s = ReduceSum<keepdims=0>(e, one) y = Add(s, f) }", stored(), 18)  # fmt: skip
    data = {"x": ids(), "z": np.full(30, 11)}
    result = pruned(before, data)
    assert result.facts.removed_rows == {"table": ROWS - 6}
    result.save(tmp_path / "small.onnx")
    assert np.allclose(run(before, data)["y"], run(onnx.load(tmp_path / "small.onnx"), data)["y"])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (BODY + " t = Transpose<perm=[1, 0]>(table) g = MatMul(s, t) z = ReduceMax(g)", "reads the whole table"),
        (BODY + " z = Identity(table)", "reads the whole table"),
        (
            BODY + " l = Shape<start=1>(x) p = Squeeze(l) z = Gather(table, p)",
            "looks rows up by numbers that the model computes",
        ),
        (
            BODY + " f = Less(zero, one) z = If(f) <then_branch = t () => (u) { u = Gather(table, x) },"
            " else_branch = o () => (v) { v = Neg(e) }>",
            "looks rows up within a branch or a loop",
        ),
    ],
)
def test_a_table_that_something_else_reads_stays(body: str, why: str) -> None:
    proto = model(body, "float[N, 3] y, float z")
    assert why in tables(proto)["table"].stays
    assert not pruned(proto).facts.removed_rows


def test_a_table_that_the_model_gives_out_stays() -> None:
    proto = model(outputs=f"float[N, 3] y, float[{ROWS}, {WIDTH}] table")
    assert "an output of the model" in tables(proto)["table"].stays
    assert not pruned(proto).facts.removed_rows


def test_places_that_the_model_counts_are_no_vocabulary() -> None:
    body = (
        "l = Shape<start=1, end=2>(x) n = Squeeze(l) p = Range(from, n, by) q = Gather(table, p) e = Gather(other, x) "
    )
    more = {"other": stored()["table"], "w3": np.ones((WIDTH, 3), np.float32), "from": np.array(0), "by": np.array(1)}
    body += "a = Add(e, q) s = ReduceSum<keepdims=0>(a, one) y = MatMul(s, w3)"
    assert set(tables(model(body, more=more))) == {"other"}


def test_what_is_asked_of_units_is_asked_of_rows() -> None:
    proto = model()
    assert not pruned(proto, min_samples=31).facts.removed_rows
    assert not pruned(proto, max_firing_bound=0.01).facts.removed_rows
    assert pruned(proto, {"x": ids(3000)}, max_firing_bound=0.05).facts.removed_rows


def test_a_holdout_that_needs_other_rows_is_told_and_nothing_is_written() -> None:
    held = Data({"x": ids()}, {"x": np.array([[0, 3, 5, 5]])})
    assert tables(model(), held)["table"].new_on_holdout == 2
    report = " ".join(analyzer.audit(model(), held, vocabulary=True).report("terminal").split())
    assert "can go only with --unseen-id: the holdout gathers other rows (2 look-ups)" in report
    assert "prune --vocabulary" not in report
    with pytest.raises(InputError, match="2 times"):
        pruned(model(), held)
    assert pruned(model(), held, unseen_id=0).facts.holdout is not None


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        ({"vocabulary": True, "evidence": "structural"}, "only data shows it"),
        ({"unseen_id": 3}, "^--unseen-id 3 has no effect without --vocabulary: add it, or leave --unseen-id out.$"),
        ({"vocabulary": True, "unseen_id": -1}, "from 0 on"),
    ],
)
def test_choices_that_cannot_be_meant_are_refused(choice: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        Choice(**choice)


def test_ids_and_data_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="ids 0 to 39"):
        pruned(model(), unseen_id=ROWS)
    for nothing in (None, Data(random=4, dims={"T": 3})):
        with pytest.raises(InputError, match="give a probe"):
            analyzer.audit(model(), nothing, vocabulary=True)
    for once in (iter([{"x": row} for row in ids()]), Data({"x": ids()}, iter([{"x": row} for row in ids()]))):
        with pytest.raises(InputError, match="can be read only once, and which rows of embeddings"):
            analyzer.audit(model(), once, vocabulary=True, progress=lambda *_: pytest.fail("after the long work"))
    with pytest.raises(InputError, match="vocabulary=True"):
        analyzer.audit(model(), {"x": ids()}).prune(choice=Choice(vocabulary=True))


@pytest.mark.parametrize("unseen_id", [None, 3])
def test_noise_is_put_on_what_is_no_id(unseen_id: int | None) -> None:
    body = "c = Cast<to=7>(x) e = Gather(table, c) s = ReduceSum<keepdims=0>(e, one) t = Add(s, z) y = MatMul(t, w3)"
    more = {"w3": np.ones((WIDTH, 3), np.float32)}
    proto = parse(f"g (float[N, T] x, float[N, {WIDTH}] z) => (float[N, 3] y) {{ {body} }}", stored() | more, 18)
    data = {"x": ids().astype(np.float32), "z": np.random.default_rng(0).normal(size=(30, WIDTH)).astype(np.float32)}
    result = pruned(proto, data, unseen_id=unseen_id)
    assert result.facts.removed_rows == {"table": 35}
    assert result.facts.perturbed is not None
    assert result.facts.perturbed.within


@pytest.mark.parametrize(
    ("patterns", "goes"),
    [
        ({"skip": ("table",)}, False),
        ({"skip": ("e",)}, False),
        ({"skip": ("*",)}, False),
        ({"skip": ("r",)}, True),
        ({"only": ("tab*",)}, True),
        ({"only": ("r",)}, False),
    ],
)
def test_an_embedding_is_left_out_by_its_name_as_a_layer_is(patterns: dict[str, Any], goes: bool) -> None:
    result = pruned(model(), **patterns)
    assert bool(result.facts.removed_rows) == goes
    held = Data({"x": ids()}, {"x": np.array([[0, 3, 5, 5]])})
    if not goes:
        assert not pruned(model(), held, **patterns).facts.removed_rows
    with pytest.raises(InputError, match="No layer matches"):
        pruned(model(), skip=("tables",))


@pytest.mark.parametrize(("rows", "ids_seen", "goes"), [(100, 5, False), (100, 100, False), (9, 1, True)])
def test_what_the_audit_promises_of_rows_is_what_goes(rows: int, ids_seen: int, goes: bool) -> None:
    """Of a narrow table the rows take less than a map of ids, so they stay, whatever the holdout gathers."""
    width = 8 if goes else 1
    table = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    seen, held = np.arange(60).reshape(30, 2) % ids_seen, np.full((2, 2), 0 if goes else rows - 1)
    proto = parse("g (int64[N, T] x) => (float y) { y = Gather(table, x) }", {"table": table}, 18)
    data = Data({"x": seen}, {"x": held})
    found = tables(proto, data)["table"]
    result = pruned(proto, data)
    lost = table.size - sum(t.size for t in _stored_in(result) if t.dtype == np.float32)
    assert found.removable == lost == (8 * width if goes else 0)
    assert bool(found.stays) == (not goes)
    report = analyzer.audit(proto, data, vocabulary=True).report("terminal")
    assert ("prune --vocabulary" in report) == goes
    assert ("its rows stay" in report) != goes


def _stored_in(result: analyzer.Pruned) -> list[Array]:
    return [onnx.numpy_helper.to_array(t) for t in onnx.ModelProto.FromString(result.data).graph.initializer]


TWO = "e = Gather(table, x) f = Gather(kinds, z) a = Add(e, f) s = ReduceSum<keepdims=0>(a, one) y = MatMul(s, w3)"


def test_the_stand_in_is_asked_only_of_tables_that_lose_rows() -> None:
    more = {"kinds": stored()["table"][:2], "w3": np.ones((WIDTH, 3), np.float32)}
    proto = parse(f"g (int64[N, T] x, int64[N, T] z) => (float[N, 3] y) {{ {TWO} }}", stored() | more, 18)
    both = np.random.default_rng(0).integers(0, 2, (30, 4))
    whole = pruned(proto, {"x": ids(), "z": both}, unseen_id=30)
    assert whole.facts.removed_rows == {"table": 34}
    assert not any("kinds" in note for note in whole.facts.notes)
    result = pruned(proto, {"x": ids(), "z": np.zeros_like(both)}, unseen_id=30)
    assert result.facts.removed_rows == {"table": 34}
    assert [note for note in result.facts.notes if "kinds" in note] == [
        "kinds has ids 0 to 1, so it has no row for --unseen-id 30 and stays whole."
    ]
    with pytest.raises(InputError, match="table has ids 0 to 39, kinds has ids 0 to 1"):
        pruned(proto, {"x": ids(), "z": np.zeros_like(both)}, unseen_id=ROWS)


def test_the_bound_holds_and_the_estimate_is_near() -> None:
    random = np.random.default_rng(8)
    shares = 1 / np.arange(1, 201) ** 1.3
    shares /= shares.sum()
    held, errors = 0, []
    for _ in range(200):
        counts = random.multinomial(300, shares)
        table = GatheredRows("t", (), counts, 1)
        missing = float(shares[counts == 0].sum())
        assert table.unseen_bound is not None
        assert table.unseen_share is not None
        held += missing <= table.unseen_bound
        errors.append(table.unseen_share - missing)
    assert held >= 190
    assert abs(np.mean(errors)) < 0.01


def test_the_report_says_what_was_seen() -> None:
    found = analyzer.audit(model(), {"x": ids()}, vocabulary=True)
    (entry,) = found.to_dict()["vocabulary"]
    assert entry["seen"] == [0, 3, 7, 21, 39]
    assert "5 rows of 40 gathered in 120 look-ups" in " ".join(found.report("terminal").split())


def test_rows_that_are_named_by_a_list_of_one_index_are_looked_up_as_well(tmp_path: Path) -> None:
    """As PyTorch's exporter writes `table[ids]`."""
    body = "i = Unsqueeze(x, last) e = GatherND(table, i) s = ReduceSum<keepdims=0>(e, one) y = MatMul(s, w3)"
    more = {"w3": np.ones((WIDTH, 3), np.float32), "last": np.array([-1])}
    before = model(body, more=more)
    result = pruned(before)
    assert result.facts.removed_rows == {"table": 35}
    result.save(tmp_path / "small.onnx")
    after = onnx.load(tmp_path / "small.onnx")
    for x in (ids(), ids(1)):
        assert np.allclose(run(before, {"x": x})["y"], run(after, {"x": x})["y"], rtol=1e-5, atol=1e-5)
    with pytest.raises(InvalidArgument, match="invalid index"):
        run(after, {"x": np.array([[0, 5]])})


def test_the_page_lists_the_table() -> None:
    page = analyzer.audit(model(), {"x": ids()}, vocabulary=True).report("html")
    assert "Rows of embeddings" in page
    assert "<code>table</code>: 5 rows of 40 gathered" in page
