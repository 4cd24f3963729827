"""What a command prints and which reports it writes: the same flags for all commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from analyzer.api.reporting import Reporting, format_named, formats_of
from analyzer.cli.exits import writing_to_stdout
from analyzer.cli.groups import Flag, Group
from analyzer.cli.values import pairs_of
from analyzer.errors import OutputError

TERMINAL, STDOUT = "terminal", "-"


@dataclass(frozen=True)
class Reports:
    """What is printed and what is written where; a class for each command says which."""

    command: ClassVar[str]
    format: str = TERMINAL
    output: str | None = None
    json: str | None = None
    html: str | None = None
    svg: str | None = None
    node_data: str | None = None
    report: Sequence[str] = ()
    show_all: bool = False

    def files(self) -> list[tuple[str, str]]:
        """Format and path of every report to write.

        Raises:
            InputError: the command's report has no such format.
            OutputError: another flag than --json names standard output.
        """
        named = [*pairs_of(self.report, "--report", "json=result.json")]
        named += [] if self.output is None else [(self.format, self.output)]
        named += [] if self.html is None else [("html", self.html)]
        named += [] if self.svg is None else [("svg", self.svg)]
        named += [] if self.node_data is None else [("node-data", self.node_data)]
        named += [] if self.json in (None, STDOUT) else [("json", str(self.json))]
        if self.json == STDOUT and self.output is None and self.format not in (TERMINAL, "json"):
            raise OutputError(
                f"--json - and --format {self.format} both write to standard output: name a file for one."
            )
        format_named(self.command, self.format)
        return [(format_named(self.command, name), path) for name, path in named]

    def check(self, inputs: Iterable[Path], *others: str | None) -> None:
        """Refuse outputs that cannot be written, together with the other files of the command (None: no file).

        Raises:
            InputError: the command's report has no such format.
            OutputError: two files are the same, one is an input or cannot be written, or a flag other than --json
                names standard output.
        """
        from analyzer.api.outputs import check_outputs

        names = [name for name in (*others, *(path for _, path in self.files())) if name is not None]
        if STDOUT in names:
            raise OutputError("Only --json writes to standard output: name a file (./- for one that is called -).")
        check_outputs(names, inputs)

    def write(self, result: Reporting, show: Callable[..., None], *, quiet: bool) -> None:
        """Write the reports, all or none, and print the one that is for the screen, a person's with `show`.

        Raises:
            OutputError: a file or standard output cannot be written.
        """
        self.save(result)
        self.print(result, show, quiet=quiet)

    def save(self, result: Reporting) -> None:
        """Write the reports that go into files: all or none.

        Raises:
            OutputError: a file cannot be written.
        """
        from analyzer.api.outputs import written_together

        with written_together():
            for name, path in self.files():
                result.save_report(path, name)

    def print(self, result: Reporting, show: Callable[..., None], *, quiet: bool) -> None:
        """Print the report that is for the screen, a person's with `show`.

        Raises:
            OutputError: standard output cannot be written.
        """
        with writing_to_stdout():
            if (printed := self.printed) not in (None, TERMINAL):
                sys.stdout.write(result.report(printed))
            elif printed is not None and not quiet:
                show(show_all=self.show_all)

    @property
    def printed(self) -> str | None:
        """The format that is printed; None where the report goes to a file."""
        if self.json == STDOUT:
            return "json"
        return self.format if self.output is None else None

    @property
    def formats(self) -> set[str | None]:
        """All formats that the report is made in."""
        return {self.printed, *(name for name, _ in self.files())}


class AuditReports(Reports):
    """Reports of `audit`."""

    command = "audit"


class PruneReports(Reports):
    """Reports of `prune`."""

    command = "prune"


class CheckReports(Reports):
    """Reports of `check`."""

    command = "check"


class ReviveReports(Reports):
    """Reports of `revive`."""

    command = "revive"


class ProveReports(Reports):
    """Reports of `prove`."""

    command = "prove"


class VerifyReports(Reports):
    """Reports of `verify`."""

    command = "verify"


class CompareReports(Reports):
    """Reports of `compare`."""

    command = "compare"


def report_flags(reports: type[Reports]) -> Group:
    """The flags of a command's reports."""
    formats, flag = formats_of(reports.command), partial(Flag, panel="Reports")
    flags = {
        "format": flag("--format", "|".join(formats), "What to print.", shows_default=True),
        "output": flag("--output/-o", "FILE", "Write it there, not to the screen."),
        "json": flag("--json", "FILE", "Write the result as JSON (- for standard output)."),
        "html": flag("--html", "FILE", "Write the report as one HTML page that works offline."),
        "svg": flag("--svg", "FILE", "Write the headline and a heat map over all layers as one picture."),
        "node_data": flag("--node-data", "FILE", "Write the dead share of each node for Model Explorer, as JSON."),
        "report": flag(
            "--report", "FORMAT=FILE", "Write another report, such as json=result.json (repeatable).", kind=list[str]
        ),
        "show_all": flag("--all", None, "Show everything, however long.", kind=bool),
    }
    absent = {name for name in ("html", "svg", "node_data") if name.replace("_", "-") not in formats}
    if reports is not CheckReports:  # -o is the model that is written, or nothing
        absent.add("output")
    return Group(reports, {name: entry for name, entry in flags.items() if name not in absent})
