"""What every result can do: become a report in one of its command's formats, as text or as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from analyzer.report.file_set import written_together
from analyzer.report.formats import format_named, formats_of, renderer
from analyzer.report.output_files import check_output

__all__ = ["Reporting", "format_named", "formats_of"]


class Reporting:
    """A result that can be reported; `_command` is the command whose formats it has."""

    _command: ClassVar[str]
    facts: Any
    _inputs: tuple[Path, ...] = ()

    @property
    def _reported(self) -> object:
        """What the renderers of the command take."""
        return self.facts

    @property
    def _guarded(self) -> tuple[Path, ...]:
        """Files that must never be written over."""
        return self._inputs

    def report(self, format: str = "terminal") -> str:
        """The result as text: `terminal` or `json`; `html` of all but a revival; `markdown`, `junit`, … of a check.

        Raises:
            InputError: there is no such format.
        """
        return renderer(self._command, format)(self._reported)

    def save_report(self, path: str | Path, format: str) -> None:
        """Write `report(format)` to a file, whole or not at all.

        Raises:
            InputError: there is no such format.
            OutputError: the file cannot be written, or is one of the inputs.
        """
        target = check_output(path, self._guarded)
        with written_together() as files:
            files.write(target, self.report(format))

    def to_dict(self) -> dict[str, Any]:
        """The JSON report as plain lists and dicts; its schema is named in it."""
        document: dict[str, Any] = json.loads(self.report("json"))
        return document

    def to_json(self, path: str | Path) -> None:
        """Write the JSON report to a file, whole or not at all.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        self.save_report(path, "json")


class WithPage(Reporting):
    """A result that has an HTML page."""

    def to_html(self, path: str | Path) -> None:
        """Write the report as one HTML page that works offline.

        Raises:
            OutputError: the file cannot be written, or is one of the inputs.
        """
        self.save_report(path, "html")
