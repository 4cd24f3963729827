"""Where a model runs: an execution provider of onnxruntime, by the name that people use."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnxruntime as ort

from analyzer.errors import InputError

_ENDING = "ExecutionProvider"
_PLUG_IN = "onnxruntime_ep_{}"  # packages of this name bring a provider as a library of its own
_ASSIGNMENT = "session.record_ep_graph_assignment_info"


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider, by onnxruntime's name, and options of its own."""

    name: str = f"CPU{_ENDING}"
    options: tuple[tuple[str, str], ...] = ()

    @property
    def is_cpu(self) -> bool:
        """Whether it is onnxruntime's own kernels for the processor, with which every verdict is defined."""
        return self.name == CPU.name

    @property
    def short(self) -> str:
        """Its name as people say it: `CUDA`."""
        return self.name.removesuffix(_ENDING)

    def open(self, content: bytes | str, options: ort.SessionOptions) -> ort.InferenceSession:
        """A session of which this provider computes what it can; the processor does the rest.

        Raises:
            RuntimeError: onnxruntime fell back to others; onnxruntime's own exceptions where it refuses the model.
        """
        if self.is_cpu:
            return ort.InferenceSession(content, options, providers=[self.name])
        with suppress(Exception):  # onnxruntime before 1.24 keeps no record of it
            options.add_session_config_entry(_ASSIGNMENT, "1")
        devices = [d for d in _devices() if d.ep_name == self.name and "library_path" in dict(d.ep_metadata)]
        if devices:
            options.add_provider_for_devices(devices[:1], dict(self.options))
            session = ort.InferenceSession(content, options)
        else:
            session = ort.InferenceSession(content, options, providers=[(self.name, dict(self.options)), CPU.name])
        if self.name not in session.get_providers():
            raise RuntimeError(f"{self.name} does not start on this machine (onnxruntime fell back to the CPU)")
        return session

    def share(self, session: ort.InferenceSession) -> tuple[int, int] | None:
        """How many nodes of a session the provider computes, and of how many; None where onnxruntime does not tell."""
        try:
            parts = session.get_provider_graph_assignment_info()
        except Exception:  # noqa: BLE001  of an older onnxruntime
            return None
        counts = [(part.ep_name == self.name, len(part.get_nodes())) for part in parts]
        return sum(nodes for mine, nodes in counts if mine), sum(nodes for _, nodes in counts)


CPU = Provider()


def available_providers() -> tuple[str, ...]:
    """The execution providers that this onnxruntime has, by their names."""
    return tuple(ort.get_available_providers())


def plug_ins() -> tuple[str, ...]:
    """Providers that installed packages bring, by the short names that `provider_named` takes."""
    ending = _PLUG_IN.format("")
    return tuple(sorted(m.name.removeprefix(ending) for m in pkgutil.iter_modules() if m.name.startswith(ending)))


def provider_named(name: str, options: Mapping[str, str] | None = None) -> Provider:
    """The provider of this name in any case, with or without its ending; one that a package brings is registered.

    Raises:
        InputError: onnxruntime has none of this name here.
    """
    wanted, given = name.lower().removesuffix(_ENDING.lower()), tuple(sorted((options or {}).items()))
    known = {p.lower().removesuffix(_ENDING.lower()): p for p in available_providers()}
    if wanted not in known and wanted.isidentifier():
        known |= _registered(wanted)
    if wanted not in known:
        names = ", ".join(sorted(p.removesuffix(_ENDING) for p in available_providers()))
        raise InputError(
            f"onnxruntime has no provider {name!r} here: it has {names}. Install the package that brings it "
            f"({_PLUG_IN.format(wanted).replace('_', '-')}, onnxruntime-gpu, …), or choose one of these."
        )
    return Provider(known[wanted], given)


@cache
def _registered(wanted: str) -> dict[str, str]:
    """The provider that an installed package brings, once onnxruntime knows its library."""
    package = _PLUG_IN.format(wanted)
    if importlib.util.find_spec(package) is None:
        return {}
    try:
        plug_in: Any = importlib.import_module(package)
        ort.register_execution_provider_library(package, plug_in.get_library_path())
        return {wanted: str(plug_in.get_ep_names()[0])}
    except Exception as error:
        raise InputError(f"{package} is installed, but its provider cannot be loaded: {_sentence(error)}.") from error


def _devices() -> list[Any]:
    with suppress(Exception):  # of an onnxruntime without plug-ins
        return list(ort.get_ep_devices())
    return []


def _sentence(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
