"""SymPy, which only symbolic dims need, is not loaded by an audit, and works for whoever does need it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "sample_models" / "digits_mlp_killed"


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_an_audit_does_not_load_it() -> None:
    script = f"""
import sys, analyzer
analyzer.audit(r"{MODEL / "model.onnx"}", r"{MODEL / "probe.npz"}").prune(latency=False)
print("sympy.core" in sys.modules)
"""
    assert run(script).strip() == "False"


def test_onnx_ir_can_still_calculate_with_symbolic_dims() -> None:
    script = """
import analyzer.graph, sympy
import onnx_ir
print(onnx_ir.SymbolicDim("a") + onnx_ir.SymbolicDim("a * 2"), sympy.Symbol("x") + 1)
"""
    assert run(script).strip() == "3*a x + 1"


def test_a_sympy_that_is_there_already_stays() -> None:
    assert run("import sympy; before = sympy; import analyzer.graph, sympy; print(sympy is before)").strip() == "True"
