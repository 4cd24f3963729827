"""What is installed here, and what of it works: what a report of a bug should say."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from analyzer.runtime.providers import available_providers, plug_ins
from analyzer.version import __version__

EXTRAS = {
    "images": ("pillow",),
    "tables": ("pandas", "pyarrow"),
    "hdf5": ("h5py",),
    "zarr": ("zarr",),
    "audio": ("soundfile",),
    "text": ("tokenizers",),
    "urls": ("fsspec", "aiohttp"),
    "hub": ("huggingface_hub",),
    "ray": ("ray",),
}


def describe_installation() -> list[tuple[str, str]]:
    """Headings and what stands behind them: versions, providers, extras, the environment."""
    lines = [
        ("deadunits", __version__),
        ("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("processors", str(os.cpu_count())),
    ]
    lines += [(name, _version(name) or "missing: install deadunits again") for name in _needed()]
    lines.append(("providers", ", ".join((*available_providers(), *plug_ins()))))
    lines.append(("telemetry", "off" if os.environ.get("ORT_DISABLE_TELEMETRY") == "1" else "as the environment says"))
    for extra, packages in EXTRAS.items():
        there = [f"{name} {found}" for name in packages if (found := _version(name))]
        missing = "" if len(there) == len(packages) else f'for more: pip install "deadunits[{extra}]"'
        lines.append((extra, "; ".join(part for part in (", ".join(there), missing) if part)))
    exporters = [f"{name} {_version(name)}" for name in ("torch", "tensorflow", "keras", "jax") if _there(name)]
    lines.append(("frameworks", ", ".join(exporters) or "none, and none is needed"))
    return lines


def _needed() -> list[str]:
    """The packages without which nothing works, as the installation names them."""
    try:
        stated = requires("deadunits") or ()
    except PackageNotFoundError:  # run from its folder
        return []
    always = [entry for entry in stated if "extra ==" not in entry]
    return list(dict.fromkeys(re.split(r"[^\w.-]", entry, maxsplit=1)[0] for entry in always))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None and bool(_version(name))
