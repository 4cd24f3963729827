"""Callbacks in training loops, with stand-ins for the frameworks that hold what the callbacks touch of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import analyzer
from analyzer.callbacks.loggers import logger_of
from analyzer.callbacks.recorder import Recorder
from analyzer.errors import InputError

SAMPLES = Path("sample_models")
HEALTHY, KILLED = (SAMPLES / name / "model.onnx" for name in ("digits_mlp", "digits_mlp_killed"))
PROBE = SAMPLES / "digits_mlp" / "probe.npz"


def test_the_course_of_a_net_is_kept_and_logged() -> None:
    logged: dict[int, Mapping[str, float]] = {}
    recorder = Recorder(PROBE, log=lambda numbers, step: logged.update({step: numbers}))
    first = recorder.record(lambda: HEALTHY, 10)
    assert first["deadunits/dead"] == 17
    assert "deadunits/died" not in first
    second = recorder.record(lambda: KILLED.read_bytes(), 20)
    assert (second["deadunits/died"], second["deadunits/revived"]) == (90, 7)
    assert second["deadunits/layers/1"] == pytest.approx(51 / 64, abs=0.1)
    assert logged == {10: first, 20: second}
    course = recorder.course()
    assert [run.label for run in course.runs] == ["step 10", "step 20"]
    assert course.facts.total() == (90, 7, 10)


def test_a_net_that_cannot_be_looked_at_does_not_end_the_training() -> None:
    def unexportable() -> bytes:
        raise RuntimeError("no symbolic function")

    recorder = Recorder(PROBE)
    with pytest.warns(UserWarning, match="at step 1: RuntimeError: no symbolic function"):
        assert recorder.record(unexportable, 1) == {}
    assert recorder.record(unexportable, 11) == {}  # said once
    with pytest.warns(UserWarning, match="not an ONNX file"):
        assert recorder.record(lambda: b"no model", 2) == {}
    assert "no symbolic function" in recorder.problems[1]
    assert "not an ONNX file" in recorder.problems[2]
    with pytest.raises(InputError, match=r"needs two audits, and there are 0 \(step 1: RuntimeError"):
        recorder.course()


def test_data_that_cannot_be_used_is_said_at_the_first_look() -> None:
    with pytest.raises(InputError, match="No probe data at"):
        Recorder("no_such.npz").record(lambda: HEALTHY, 0)


def test_only_the_last_audit_is_kept_whole() -> None:
    recorder = Recorder(PROBE)
    for step in range(3):
        recorder.record(lambda: HEALTHY, step)
    assert {type(audit) for audit in recorder.audits.values()} == {analyzer.AuditFacts}
    assert recorder.last is not None
    assert recorder.last.facts is recorder.audits[2]


class Target:
    """Takes what a logger is given."""

    def __init__(self, *methods: str) -> None:
        self.taken: list[tuple[Any, ...]] = []
        for method in methods:
            setattr(self, method, lambda *given, **named: self.taken.append((*given, *named.values())))


@pytest.mark.parametrize(
    ("method", "taken"),
    [
        ("add_scalar", [("a", 1.0, 7), ("b", 2.0, 7)]),
        ("log_metrics", [({"a": 1.0, "b": 2.0}, 7)]),
        ("log", [({"a": 1.0, "b": 2.0}, 7)]),
    ],
)
def test_loggers_are_known_by_what_they_have(method: str, taken: list[tuple[Any, ...]]) -> None:
    target = Target(method)
    logger_of(target)({"a": 1.0, "b": 2.0}, 7)
    assert target.taken == taken


def test_what_cannot_log_is_refused() -> None:
    logger_of(None)({"a": 1.0}, 0)
    with pytest.raises(InputError, match="log is of type int"):
        Recorder(PROBE, log=3)


@pytest.fixture
def frameworks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Base classes of callbacks, and an exporter of PyTorch that gives one sample model after another."""

    def module(name: str, **content: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    class Base:
        model: Any = None

    module("lightning", pytorch=module("lightning.pytorch", Callback=Base))
    module("transformers", TrainerCallback=Base)
    module("keras", callbacks=SimpleNamespace(Callback=Base))
    for name in ("lightning", "transformers", "keras"):
        monkeypatch.delitem(sys.modules, f"analyzer.callbacks.{name}", raising=False)
    nets = iter([HEALTHY, KILLED] * 3)
    monkeypatch.setattr("analyzer.api.exporting.exported", lambda *_: next(nets).read_bytes())
    yield
    for name in ("lightning", "transformers", "keras"):
        sys.modules.pop(f"analyzer.callbacks.{name}", None)


def test_lightning_looks_after_epochs_or_steps_and_logs_to_the_trainers_loggers(frameworks: None) -> None:
    from analyzer.callbacks.lightning import DeadUnits

    logger = Target("log_metrics")
    trainer = SimpleNamespace(global_step=5, is_global_zero=True, loggers=[logger])
    callback = DeadUnits(PROBE, None)
    for step in (5, 10):
        trainer.global_step = step
        callback.on_train_batch_end(trainer, None, None, None, 0)
        callback.on_train_epoch_end(trainer, None)
        callback.on_train_epoch_end(trainer, None)  # the same step again
    assert [*callback.recorder.audits] == [5, 10]
    assert [step for _, step in logger.taken] == [5, 10]
    every = DeadUnits(PROBE, None, every_n_steps=4)
    for step in range(1, 9):
        trainer.global_step = step
        every.on_train_batch_end(trainer, None, None, None, step)
        every.on_train_epoch_end(trainer, None)
    assert [*every.recorder.audits] == [4, 8]
    trainer.is_global_zero = False
    trainer.global_step = 12
    every.on_train_batch_end(trainer, None, None, None, 12)
    assert 12 not in every.recorder.audits


def test_the_trainer_of_hugging_face(frameworks: None) -> None:
    from analyzer.callbacks.transformers import DeadUnits

    state = SimpleNamespace(global_step=0, is_world_process_zero=True)
    callback = DeadUnits(PROBE, None, every_n_steps=3)
    for step in range(1, 7):
        state.global_step = step
        callback.on_step_end(None, state, None, model=None)
        callback.on_epoch_end(None, state, None, model=None)
    assert [*callback.recorder.audits] == [3, 6]


def test_keras_has_the_numbers_in_its_logs(frameworks: None) -> None:
    from analyzer.callbacks.keras import DeadUnits

    def export(path: Path, **_: Any) -> None:
        sys.stdout.write("Saved artifact at …")
        path.write_bytes(HEALTHY.read_bytes())

    callback = DeadUnits(PROBE, every_n_epochs=2)
    callback.model = SimpleNamespace(export=export)
    logs: dict[str, float] = {"loss": 1.0}
    callback.on_epoch_end(0, logs)
    assert logs == {"loss": 1.0}
    callback.on_epoch_end(1, logs)
    assert logs["deadunits/dead"] == 17
    assert [*callback.recorder.audits] == [2]


def test_a_module_is_exported_as_it_is_and_stays_in_training() -> None:
    torch = pytest.importorskip("torch")
    from analyzer.api.exporting import exported

    module = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.Dropout(0.5), torch.nn.ReLU())
    module[1].eval()
    recorder = Recorder(PROBE)
    assert recorder.record(lambda: exported(module, torch.zeros(2, 64)), 0), recorder.problems
    assert (module.training, module[0].training, module[1].training) == (True, True, False)
