"""Modules of PyTorch and models of Keras as they are handed over, exported with samples of the probe."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import analyzer
from analyzer.api.exporting import _compare, _free, _inputs, _numbers
from analyzer.errors import ModelError, ProbeError
from analyzer.probes.names_in_data import names_in

SAMPLES = Path("sample_models/digits_mlp")
PROBE = SAMPLES / "probe.npz"
with np.load(PROBE) as _data:
    PIXELS = _data["pixels"]


def with_forward(forward: Callable[..., Any]) -> Any:
    return SimpleNamespace(forward=forward)


@pytest.mark.parametrize(
    ("forward", "data", "inputs"),
    [
        (lambda x: x, PIXELS, ["x"]),
        (lambda x: x, {"other": PIXELS, "y": 0}, ["x"]),
        (lambda x: x, PROBE, ["x"]),
        (lambda x, pixels=None: x, PROBE, ["x", "pixels"]),
        (lambda ids, mask=None, labels=None: ids, {"ids": 1, "mask": 1}, ["ids", "mask"]),
        (lambda ids, mask=None, labels=None: ids, [{"ids": 1, "mask": 1}], ["ids", "mask"]),
        (lambda ids, mask=None, labels=None: ids, [({"ids": 1, "mask": 1}, 0)], ["ids", "mask"]),
        (lambda ids=None, mask=None: ids, [(1, 0)], ["ids"]),
        (lambda a, b: a, [(1, 0)], ["a", "b"]),
        (lambda a, *more, b=None, **rest: a, {"a": 1, "b": 1, "more": 1}, ["a", "b"]),
    ],
)
def test_a_module_is_given_what_it_must_have_and_what_the_data_names(
    forward: Any, data: Any, inputs: list[str]
) -> None:
    assert [*_inputs(with_forward(forward), data)] == inputs


def test_a_module_that_names_no_argument_is_refused() -> None:
    with pytest.raises(ModelError, match="forward names no argument"):
        _inputs(with_forward(lambda *many: many), PIXELS)


def test_names_of_data() -> None:
    assert names_in(SimpleNamespace(columns=["a", 2])) == ["a", "2"]
    assert names_in("none.npz") == names_in(Path("a.npy")) == names_in(dict) == names_in([]) == names_in(3) == []


def test_lengths_on_which_samples_differ_are_free() -> None:
    feeds = [{"x": np.zeros((1, 5, n)), "s": np.zeros(n)} for n in (2, 3)]
    probe: Any = SimpleNamespace(fixed={"s"})
    assert _free(feeds, probe) == {"x": {0: "batch", 2: "x_2"}, "s": {}}


def test_what_a_file_computes_is_held_against_the_module() -> None:
    right = np.array([1.0, np.nan, 100])
    _compare([right + np.array([1e-3, 0, -1e-2])], [right], 1)
    _compare([np.array([3])], [np.array([3])], 1)
    _compare([np.zeros((0, 2))], [np.zeros((0, 2))], 1)
    for wrong in (right + np.array([0, 0, 1]), right[:2], np.array([1.0, 0, 100])):
        with pytest.raises(ModelError, match="on sample 7 of the probe"):
            _compare([right, wrong], [right, right], 7)


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Model:
        def export(self, path: Path, **_: Any) -> None:
            sys.stdout.write("Saved artifact at …")
            path.write_bytes((SAMPLES / "model.onnx").read_bytes())

    module = ModuleType("keras")
    vars(module).update(Model=Model)
    monkeypatch.setitem(sys.modules, "keras", module)
    return module


def test_a_model_of_keras_exports_itself(keras: Any, capsys: pytest.CaptureFixture[str]) -> None:
    audit = analyzer.audit(keras.Model(), PROBE, causes=False)
    assert (audit.facts.dead, audit.facts.model.path) == (17, "<Model>")
    assert capsys.readouterr() == ("", "")


def test_a_model_of_keras_is_proven_without_a_probe(keras: Any) -> None:
    proof = analyzer.prove(keras.Model(), domain="0:16", budget=0)
    assert proof.facts.drawn == 1000


def test_a_module_without_a_probe_is_told_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ModuleType("torch.nn")
    modules.Module = type("Module", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.nn", modules)
    with pytest.raises(analyzer.InputError, match="exported with samples of its input: give a probe"):
        analyzer.prove(modules.Module(), domain="0:16")


def test_a_model_of_keras_that_does_not_export_is_refused(keras: Any) -> None:
    class Broken(keras.Model):  # type: ignore[misc]  # untyped
        def export(self, path: Path, **_: Any) -> None:
            raise ValueError("not built\nyet")

    with pytest.raises(ModelError, match=r"^The Keras model cannot be exported: not built\. Call it on a sample first"):
        analyzer.audit(Broken(), PROBE)


# With PyTorch, where it is installed.


@pytest.fixture
def torch() -> Any:
    found = pytest.importorskip("torch")
    found.manual_seed(0)
    return found


@pytest.fixture
def module(torch: Any) -> Any:
    nn = torch.nn
    net = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
    with torch.no_grad():
        net[0].bias[[3, 20]] = -1e3
        net[1].running_mean[:] = 0.0
    net[3].eval()
    return net


def datasets(torch: Any) -> dict[str, Any]:
    whole = torch.utils.data.TensorDataset(torch.tensor(PIXELS), torch.arange(len(PIXELS)))

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc]  # untyped
        def __iter__(self) -> Iterator[Any]:
            return iter(whole)

    loader = torch.utils.data.DataLoader(whole, batch_size=32)
    return {
        "array": PIXELS,
        "doubles": PIXELS.astype(np.float64),
        "tensor": torch.tensor(PIXELS),
        "file": PROBE,
        "dict": {"input": PIXELS, "label": np.arange(len(PIXELS))},
        "with labels": (PIXELS, np.arange(len(PIXELS))),
        "dataset": whole,
        "stream": Stream(),
        "loader": loader,
        "generator": (batch for batch in loader),
        "function": lambda: (batch for batch in loader),
        "single samples": list(PIXELS),
    }


KINDS = ["array", "doubles", "tensor", "file", "dict", "with labels", "dataset", "stream", "loader", "generator",
         "function", "single samples"]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_with_data_as_people_have_it(torch: Any, module: Any, kind: str) -> None:
    audit = analyzer.audit(module, datasets(torch)[kind], causes=False)
    assert audit.facts.probe is not None
    assert audit.facts.probe.samples == len(PIXELS)
    assert [layer.audited.module for layer in audit.layers] == ["2", "4"]
    assert set(audit.layers[0].dead) >= {3, 20}
    assert [layer.training for layer in module] == [True, True, True, False, True]
    assert audit.facts.model.path == "<Sequential>"


def test_a_smaller_module_gives_masks_by_the_names_of_its_parameters(module: Any) -> None:
    pruned = analyzer.prune(module, PIXELS, latency=False)
    assert pruned.comparison is not None
    assert {"0.weight", "0.bias", "4.weight"} <= set(pruned.masks())


def test_what_torch_compiles_is_the_module_inside(torch: Any, module: Any) -> None:
    assert analyzer.audit(torch.compile(module), PIXELS, causes=False).layers[0].audited.module == "2"


def test_arguments_by_name_lengths_that_differ_and_outputs_in_a_dict(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            super().__init__()
            self.words, self.act = torch.nn.Embedding(50, 8), torch.nn.ReLU()

        def forward(self, ids: Any, mask: Any = None, labels: Any = None) -> dict[str, Any]:
            return {"logits": (self.act(self.words(ids)) * mask.unsqueeze(-1)).sum(1)}

    draw = np.random.default_rng(0)
    feeds = [{"ids": draw.integers(0, 50, (2, n)), "mask": np.ones((2, n), np.float32)} for n in (5, 7, 6)]
    audit = analyzer.audit(Net(), feeds, causes=False)
    assert audit.facts.probe is not None
    assert audit.facts.probe.samples == 6
    assert [layer.audited.module for layer in audit.layers] == ["act"]


def test_pixels_in_whole_numbers_and_an_input_that_stays(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()

        def forward(self, image: Any, scale: Any) -> Any:
            return self.act(self.conv(image)) * scale

    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8)
    data = analyzer.Data({"image": pixels, "scale": np.ones((4, 1, 1), np.float32)}, constants=["scale"])
    audit = analyzer.audit(Net(), data, causes=False)
    assert audit.facts.probe is not None
    assert audit.facts.probe.samples == 9


def refusal(module: Any, data: Any) -> str:
    with pytest.raises(ModelError) as refused:
        analyzer.audit(module, data)
    return str(refused.value)


def test_a_trace_that_holds_for_some_samples_only_is_refused(torch: Any) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc]  # untyped
        def forward(self, x: Any) -> Any:
            return torch.relu(x) * 2 if x.sum() > 0 else x - 5

    data = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    assert "computes something else than the module on sample" in refusal(Net(), data)


def test_what_a_module_cannot_be_called_with_is_said(module: Any) -> None:
    said = refusal(module, PIXELS[:, :3])
    assert said.startswith("The module cannot be called with a sample of the probe (input 1x3): mat1 and mat2")
    assert "give a probe" in refusal(module, None)
    assert "give a probe" in refusal(module, analyzer.Data(random=5))
    with pytest.raises(ProbeError, match=r"No probe data at none\.npz"):
        analyzer.audit(module, "none.npz")
    with pytest.raises(ProbeError, match="holds no samples"):
        analyzer.audit(module, iter([]))


def test_a_module_too_large_for_a_file_is_not_exported(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.api.exporting.LARGEST_PROTO", 1000)
    assert "larger than one file can hold" in refusal(module, PIXELS)


def test_exporters_are_silent_and_logs_speak_again(torch: Any, capfd: pytest.CaptureFixture[str]) -> None:
    class Net(torch.nn.Module):  # type: ignore[misc]  # untyped
        def forward(self, x: Any, *, by: Any = None) -> Any:  # which only the newer exporter takes
            return torch.relu(x)

    before = logging.root.manager.disable
    analyzer.audit(Net(), PIXELS, causes=False)
    assert logging.root.manager.disable == before
    assert capfd.readouterr() == ("", "")


def test_all_tensors_that_a_module_returns_are_looked_at(torch: Any) -> None:
    a, b, c = (torch.full((2,), float(n)) for n in range(3))
    returned = {"a": a, "more": (b, [c, None])}
    assert [array.tolist() for array in _numbers(returned)] == [[0, 0], [1, 1], [2, 2]]


def test_a_program_of_torch(torch: Any, module: Any) -> None:
    pytest.importorskip("onnxscript")
    module.eval()
    named = {"input_names": ["input"], "dynamic_shapes": ({0: "batch"},)}
    program = torch.onnx.export(module, (torch.zeros(2, 64),), dynamo=True, verbose=False, **named)
    audit = analyzer.audit(program, PIXELS, causes=False)
    assert audit.facts.model.path == "<ONNXProgram>"
    assert set(audit.layers[0].dead) >= {3, 20}
