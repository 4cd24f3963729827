"""Providers by the names that people use; what onnxruntime does not have here is refused, and nothing falls back."""

from __future__ import annotations

import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from analyzer.cli.main import run
from analyzer.errors import InputError
from analyzer.runtime import providers
from analyzer.runtime.providers import CPU, Provider, provider_named

MODEL, PROBE = "sample_models/digits_mlp/model.onnx", "sample_models/digits_mlp/probe.npz"


@pytest.mark.parametrize("name", ["CPU", "cpu", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_names_are_read_in_any_case_with_or_without_their_ending(name: str) -> None:
    assert provider_named(name) == CPU


def test_another_one_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(InputError, match=r"no provider 'warp' here: it has .*CPU.*onnxruntime-ep-warp"):
        provider_named("warp")


@pytest.mark.parametrize("name", ["", "os.path", "../x", "a b"])
def test_what_is_no_name_is_not_looked_for(name: str) -> None:
    with pytest.raises(InputError, match="no provider"):
        provider_named(name)


def test_a_package_whose_library_does_not_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def get_library_path(): return 'nowhere.so'\ndef get_ep_names(): return ['HalfExecutionProvider']\n"
    (tmp_path / "onnxruntime_ep_half.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        assert "half" in providers.plug_ins()
        with pytest.raises(InputError, match="onnxruntime_ep_half is installed, but its provider cannot be loaded"):
            provider_named("half")
    finally:
        sys.modules.pop("onnxruntime_ep_half", None)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_onnxruntime_must_not_fall_back() -> None:
    absent = Provider("CUDAExecutionProvider")
    assert absent.name not in ort.get_available_providers()
    with pytest.raises(RuntimeError, match="CUDAExecutionProvider does not start on this machine"):
        absent.open(MODEL, ort.SessionOptions())


def test_without_data_there_is_nothing_for_it_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "available_providers", lambda: ("OtherExecutionProvider",))
    assert run(["audit", MODEL, "--provider", "other"]) == 2
    assert "give a probe, or leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [MODEL, MODEL, "--probe", PROBE, "--provider-b", "cpu"],
        [MODEL, "--probe", PROBE, "--probe", PROBE, "--provider-b", "cpu"],
    ],
)
def test_two_providers_are_compared_on_one_model_and_one_probe(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *arguments]) == 2
    assert "Several providers are compared on one model and one probe" in capsys.readouterr().err


def test_a_provider_is_held_against_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", MODEL, "--probe", PROBE, "--provider-b", "cpu"]) == 0
    assert "0 units died, 0 revived" in " ".join(capsys.readouterr().out.split())
