"""The API from model and probe to the result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest

import analyzer
from analyzer.api.outputs import guarded_files
from analyzer.errors import ModelError, OutputError
from tests.models import parse
from tests.promised import satisfies

KILLED = Path("sample_models/digits_mlp_killed")
MODEL, PROBE, HOLDOUT = KILLED / "model.onnx", KILLED / "probe.npz", KILLED / "holdout.npz"
RELUS = ["/1/Relu_output_0", "/3/Relu_output_0", "/5/Relu_output_0"]


@pytest.fixture(scope="module")
def killed() -> analyzer.Audit:
    return analyzer.audit(MODEL, analyzer.Data(PROBE, HOLDOUT))


def by_value(found: analyzer.Audit) -> dict[str, analyzer.LayerVerdicts]:
    return {layer.value: layer for layer in found.layers}


def plain_run(value: str, samples: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The whole activation, computed from the weights with NumPy."""
    graph = onnx.load(MODEL).graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    activation = samples.astype(np.float64)
    for index in range(0, RELUS.index(value) * 2 + 1, 2):
        activation = np.maximum(activation @ weights[f"{index}.weight"].T + weights[f"{index}.bias"], 0)
    return activation


def test_dead_units_are_those_of_the_whole_activation(killed: analyzer.Audit) -> None:
    (samples,) = np.load(PROBE).values()
    for value in RELUS:
        activation = plain_run(value, samples)
        layer = by_value(killed)[value]
        assert layer.dead == tuple(np.flatnonzero(activation.max(axis=0) <= 0).tolist())
        assert layer.near_dead == tuple(
            unit for unit, fired in enumerate((activation > 0).sum(axis=0)) if 0 < fired <= 0.01 * len(samples)
        )


def test_the_holdout_says_which_of_them_come_alive(killed: analyzer.Audit) -> None:
    (samples,) = np.load(HOLDOUT).values()
    for value in RELUS:
        alive = np.flatnonzero(plain_run(value, samples).max(axis=0) > 0)
        layer = by_value(killed)[value]
        assert layer.revived == tuple(sorted(set(layer.dead) & set(alive.tolist())))
    assert "holdout-revives" in [warning.name for warning in killed.warnings]


def test_the_plan_counts_what_dead_units_free(killed: analyzer.Audit) -> None:
    tensors = {tensor.name: tensor for tensor in killed.removable.tensors}
    first, second = (len(by_value(killed)[value].dead) for value in RELUS[:2])
    assert tensors["0.weight"].kept == (64 - first, 64)
    assert tensors["2.weight"].kept == (64 - second, 64 - first)
    assert killed.removable.parameters == sum(tensor.removable for tensor in tensors.values())
    assert killed.model.parameters == 10_730


def test_the_json_is_written_and_valid(killed: analyzer.Audit, tmp_path: Path) -> None:
    killed.to_json(tmp_path / "audit.json")
    report = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(killed.to_dict()))
    satisfies("audit", report)


def test_the_model_is_never_written_over(killed: analyzer.Audit) -> None:
    before = MODEL.read_bytes()
    for path in (MODEL, PROBE, HOLDOUT):
        with pytest.raises(OutputError):
            killed.to_json(path)
    assert MODEL.read_bytes() == before


def test_external_data_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.load(MODEL), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    found = analyzer.audit(path, analyzer.Data(PROBE, limit=4))
    with pytest.raises(OutputError, match="is an input"):
        found.to_json(tmp_path / "weights.bin")


def test_the_table_has_one_row_per_unit(killed: analyzer.Audit) -> None:
    frame = killed.to_frame()
    assert len(frame) == sum(layer.units for layer in killed.layers)
    assert (frame["verdict"] == "dead").sum() == 100


def test_repr_says_what_was_found(killed: analyzer.Audit) -> None:
    assert "100 of 170 units dead on 300 samples" in repr(killed)


def test_a_dead_unit_is_explained_down_to_the_parameters(killed: analyzer.Audit) -> None:
    dead = by_value(killed)["/1/Relu_output_0"].dead[0]
    assert "0.weight" in "\n".join(killed.explain_unit("/1/Relu_output_0", dead))
    assert killed.explain_parameter("0.weight")
    rows, columns = killed.explain_parameter("2.weight")[1:]
    assert "/3/Relu_output_0" in rows
    assert "/1/Relu_output_0" in columns


@pytest.mark.parametrize(
    ("value", "index", "message"),
    [
        ("/1/Relu_output_1", 0, "did you mean /1/Relu_output_0"),
        ("/1/Relu_output_0", 64, "units 0 to 63"),
        ("0.weight", 0, "no value named"),
    ],
)
def test_a_unit_that_does_not_exist_is_named(killed: analyzer.Audit, value: str, index: int, message: str) -> None:
    with pytest.raises(analyzer.InputError, match=message):
        killed.explain_unit(value, index)


def test_a_parameter_that_does_not_exist_is_named(killed: analyzer.Audit) -> None:
    with pytest.raises(analyzer.InputError, match=r"did you mean 0\.weight"):
        killed.explain_parameter("0.wieght")


def probes() -> dict[str, Any]:
    (samples,) = np.load(PROBE).values()

    def feeds() -> Iterator[tuple[Any, int]]:
        for start in range(0, len(samples), 32):
            yield samples[start : start + 32], 0

    return {"array": samples, "dict": {"pixels": samples}, "str": str(PROBE), "labelled batches": feeds()}


@pytest.mark.parametrize("name", ["array", "dict", "str", "labelled batches"])
def test_every_form_of_the_same_data_gives_the_same_verdicts(killed: analyzer.Audit, name: str) -> None:
    found = analyzer.audit(MODEL, probes()[name])
    assert [layer.dead for layer in found.layers] == [layer.dead for layer in killed.layers]
    assert found.probe is not None
    assert found.probe.samples == 300


@pytest.mark.parametrize("model", [str(MODEL), MODEL.read_bytes(), onnx.load(MODEL)], ids=["str", "bytes", "proto"])
def test_every_form_of_the_same_model_gives_the_same_verdicts(killed: analyzer.Audit, model: Any) -> None:
    found = analyzer.audit(model, PROBE)
    assert [layer.dead for layer in found.layers] == [layer.dead for layer in killed.layers]


def test_the_batch_size_changes_nothing(killed: analyzer.Audit) -> None:
    for batch_size in (1, 7, 300):
        found = analyzer.audit(MODEL, PROBE, run=analyzer.Run(batch_size=batch_size))
        assert [layer.dead for layer in found.layers] == [layer.dead for layer in killed.layers]
        assert "one-by-one" not in [warning.name for warning in found.warnings]


def test_limit_takes_the_first_samples() -> None:
    found = analyzer.audit(MODEL, analyzer.Data(PROBE, limit=10))
    assert found.probe is not None
    assert found.probe.samples == 10
    assert "probe-too-small" in [warning.name for warning in found.warnings]


def test_without_a_probe_only_the_weights_speak() -> None:
    found = analyzer.audit(MODEL)
    assert found.probe is None
    assert all(set(layer.dead) == set(layer.structural) for layer in found.layers)
    assert [warning.name for warning in found.warnings] == ["no-probe"]
    satisfies("audit", found.to_dict())


def test_random_data_is_labelled() -> None:
    found = analyzer.audit(MODEL, analyzer.Data(random=64))
    assert found.probe is not None
    assert found.probe.random
    assert "random-probe" in [warning.name for warning in found.warnings]


@pytest.mark.parametrize("preset", list(analyzer.PRESETS))
def test_every_preset_runs_and_finds_the_same_dead_units(killed: analyzer.Audit, preset: str) -> None:
    found = analyzer.audit(MODEL, PROBE, thresholds=preset)
    assert found.facts.thresholds.preset == preset
    assert [layer.dead for layer in found.layers] == [layer.dead for layer in killed.layers]


def test_own_thresholds_replace_a_preset() -> None:
    wide = replace(analyzer.Thresholds(), preset="own", near_dead=0.5)
    found = analyzer.audit(MODEL, PROBE, thresholds=wide)
    assert sum(len(layer.near_dead) for layer in found.layers) > 10


def test_progress_is_reported_to_the_end() -> None:
    calls: list[tuple[str, int, int | None]] = []
    analyzer.audit(MODEL, analyzer.Data(PROBE, HOLDOUT), progress=lambda *call: calls.append(call))
    assert {call[0] for call in calls} == {"probe", "holdout", "causes"}
    assert calls[-1] == ("causes", 300, 300)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"probe": PROBE, "random": 3}, "either a probe or"),
        ({"holdout": PROBE}, "give a probe as well"),
        ({"probe": PROBE, "limit": 0}, "limit is 0"),
        ({"random": 0}, "random is 0"),
        ({"probe": PROBE, "constants": "pixels"}, r"give a list of names, such as \['pixels'\]"),
        ({"probe": PROBE, "dims": {"batch": 4}}, "none are drawn"),
        ({"constants": ["pixels"]}, "constants says how data is fed"),
        ({"limit": 5}, "limit says how a probe is read"),
        ({"random": 5, "limit": 5}, "limit says how a probe is read"),
        ({"images": analyzer.ImageOptions()}, "images says how a probe is read"),
        ({"probe": PROBE, "seed": 1}, "seed says which random samples"),
        ({"random": 5, "seed": -1}, "seed is -1"),
        ({"random": 5, "constants": ["pixls"]}, "named as constant but is no input"),
        ({"random": 5, "dims": {"nope": 4}}, "No input has a free dim 'nope'"),
    ],
)
def test_wrong_data_says_what_to_change(call: dict[str, Any], message: str) -> None:
    with pytest.raises(analyzer.InputError, match=message):
        analyzer.audit(MODEL, analyzer.Data(**call))


@pytest.mark.parametrize(
    ("call", "message"),
    [({"batch_size": 0}, "batch_size is 0"), ({"threads": 0}, "threads is 0"), ({"threads": 10**6}, "at most 256")],
)
def test_a_wrong_run_says_what_to_change(call: dict[str, Any], message: str) -> None:
    with pytest.raises(analyzer.InputError, match=message):
        analyzer.Run(**call)


def test_a_preset_that_does_not_exist_is_named() -> None:
    with pytest.raises(analyzer.InputError, match="'nope': choose one of default"):
        analyzer.audit(MODEL, PROBE, thresholds="nope")


def test_the_seed_decides_which_samples_are_drawn() -> None:
    fingerprints = [
        found.probe.fingerprint
        for found in (analyzer.audit(MODEL, analyzer.Data(random=9, seed=seed)) for seed in (0, 1, 1))
        if found.probe is not None
    ]
    assert fingerprints[0] != fingerprints[1] == fingerprints[2]


def test_a_wrong_model_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No model file"):
        analyzer.audit(tmp_path / "none.onnx")


def test_a_probe_file_with_a_generator_counts_as_an_input(tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text("")
    assert guarded_files(f"{script}:feeds", None, {"x": 1}) == (script,)


def test_nothing_seen_one_by_one_counts_where_samples_influence_each_other() -> None:
    """Centred over a batch of one, every input is zero, so every unit looks dead."""
    model = parse(
        "g (float[N, 4] x) => (float[N, 2] y) { before = Relu(x)  m = ReduceMean<axes=[0], keepdims=1>(before) "
        "c = Sub(before, m)  h = Gemm(c, w, b)  r = Relu(h)  y = MatMul(r, v) }",
        {
            "w": np.array([[1, 0, 2], [0, 0, 1], [-1, 0, 0], [2, 0, 1]], np.float32),
            "b": np.array([0, -1, -0.1], np.float32),
            "v": np.ones((3, 2), np.float32),
        },
        17,
    )
    x = np.random.default_rng(4).standard_normal((70, 4)).astype(np.float32)
    x[:, 3] = -1
    found = analyzer.audit(model, {"x": x})
    assert {layer.value: layer.dead for layer in found.layers} == {"before": (3,), "r": (1,), "y": ()}
    named = {warning.name: warning for warning in found.warnings}
    assert named["samples-mix"].value == "r"
    assert "before" not in named["samples-mix"].message
    assert not {"layer-dead", "output-constant"} & set(named)
    pruned = found.prune(latency=False)
    assert pruned.facts.comparison is not None
    assert pruned.facts.comparison.within


def switched_off_by_company(most: float = 2.5, silent: int = 0) -> onnx.ModelProto:
    """With more samples in a batch, everything is switched off; a look at two shows nothing of it."""
    return parse(
        "g (float[N, 4] x) => (float[N, 2] y) { s = Shape(x)  n = Gather(s, zero)  f = Cast<to=1>(n) "
        "c = Less(f, many)  on = Cast<to=1>(c)  h = MatMul(x, w)  r = Relu(h)  d = Mul(r, on) "
        "k = Relu(d)   y = MatMul(k, v) }",
        {
            "zero": np.array(0, np.int64),
            "many": np.array(most, np.float32),
            "w": np.eye(4, 3 + silent, dtype=np.float32) * (np.arange(3 + silent) < 3).astype(np.float32),
            "v": np.ones((3 + silent, 2), np.float32),
        },
        17,
    )


def test_samples_of_which_nothing_is_proven_share_runs_on_the_users_word_only() -> None:
    model = switched_off_by_company()
    x = np.random.default_rng(4).standard_normal((70, 4)).astype(np.float32)

    def dead_units(run: analyzer.Run) -> tuple[int, list[str]]:
        found = analyzer.audit(model, {"x": x}, run=run)
        return sum(len(layer.dead) for layer in found.layers), [w.name for w in found.warnings]

    dead, names = dead_units(analyzer.Run())
    assert dead == 0
    assert "one-by-one" in names
    dead, names = dead_units(analyzer.Run(independent=True))
    assert dead > 0
    assert "independence-stated" in names


def test_every_report_repeats_that_samples_are_said_to_be_independent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = switched_off_by_company(1e6, silent=1)
    x, word = np.random.default_rng(4).standard_normal((70, 4)).astype(np.float32), analyzer.Run(independent=True)
    reports: dict[str, Any] = {
        "audit": analyzer.audit(model, x, run=word),
        "prune": analyzer.prune(model, x, run=word, latency=False),
        "compare": analyzer.compare([model, model], x, run=word),
        "check": analyzer.check(model, x, run=word),
    }
    for name, report in reports.items():
        report.to_json(tmp_path / name)
        written = (tmp_path / name).read_text(encoding="utf-8")
        assert "independence-stated" in written or '"independence_stated": true' in written, name
        capsys.readouterr()
        report.show()
        assert "said to be independent" in " ".join(capsys.readouterr().out.split()), name
    pruned = reports["prune"]
    assert pruned.changed
    assert {p.key: p.value for p in onnx.ModelProto.FromString(pruned.data).metadata_props}[
        "deadunits.independence"
    ] == "stated"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda m, x: analyzer.audit(m, x, run=cast(Any, {"batch_size": 3})),
            "run is of type dict: give an analyzer.Run.",
        ),
        (
            lambda m, x: analyzer.prune(m, x, choice=cast(Any, {"round_to": 8})),
            "choice is of type dict: give an analyzer.Choice.",
        ),
        (lambda m, x: analyzer.Run(batch_size=cast(Any, "3")), "batch_size is '3': give a whole number."),
    ],
)
def test_options_of_another_type_are_refused_in_one_sentence(call: Any, said: str) -> None:
    x = np.ones((70, 4), np.float32)
    with pytest.raises(analyzer.InputError) as refused:
        call(switched_off_by_company(1e6), x)
    assert str(refused.value) == said


def test_without_data_free_lengths_are_guessed_large_enough_for_windows() -> None:
    stored = {"w": np.zeros((6, 3, 3, 3), np.float32), "v": np.ones((4, 6, 1, 1), np.float32)}
    stored["w"][3:] = np.random.default_rng(0).normal(0, 1, (3, 3, 3, 3))
    stored["b"] = np.array([1, 1, 1, 0, 0, 0], np.float32)
    body = """c = Conv<pads=[1, 1, 1, 1]>(x, w, b)  r = Relu(c)
        p = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(r)  y = Conv(p, v)"""
    model = parse(f"g (float[N, 3, H, W] x) => (float[N, 4, P, Q] y) {{ {body} }}", stored)
    pruned = analyzer.prune(model, latency=False)
    assert pruned.facts.after.parameters == 3 * 27 + 3 + 4 * 3 + 4


def test_without_data_a_shape_of_unknown_rank_is_left_alone() -> None:
    body = "h = Gemm(x, w)  a = Relu(h)  r = Reshape(a, target)  s = Shape(r)  y = Gather<axis=0>(s, zero)"
    stored = {"w": np.ones((4, 6), np.float32), "zero": np.array(0)}
    model = parse(f"g (float[N, 4] x, int64[K] target) => (int64 y) {{ {body} }}", stored)
    assert analyzer.audit(model).facts.dead == 0
