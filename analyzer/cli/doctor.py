"""`deadunits doctor`: versions, providers and extras, for a look at an installation and for reports of bugs."""

from __future__ import annotations

import sys

from analyzer.cli.exits import clean_exit, writing_to_stdout


def doctor() -> None:
    """Say what is installed: versions, onnxruntime's providers, optional extras. Nothing is sent anywhere."""
    with clean_exit(debug=False):
        from analyzer.api.installation import describe_installation

        lines = describe_installation()
        width = max(len(name) for name, _ in lines)
        with writing_to_stdout():
            sys.stdout.writelines(f"{name:<{width}}  {what}\n" for name, what in lines)
