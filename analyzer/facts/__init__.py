"""Frozen values that the stages hand on: units, statistics, verdicts, the audit; no ONNX, no files."""
