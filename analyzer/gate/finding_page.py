"""The page of one finding, made from its file's docstring."""

from __future__ import annotations

from analyzer.gate.finding_kind import HEADINGS, FindingKind


def page(kind: FindingKind) -> str:
    """The page of one finding in Markdown.

    Raises:
        ValueError: the docstring does not have exactly the fixed headings, in their order.
    """
    lines, headings = [], []
    for line in kind.docstring.splitlines()[1:]:
        if line and not line.startswith(" "):
            headings.append(line)
            lines += [f"## {line}", ""]
        else:
            lines.append(line.removeprefix("    "))
    if tuple(headings) != HEADINGS:
        raise ValueError(f"The docstring of {kind.module} has the headings {headings}, not {list(HEADINGS)}.")
    body = "\n".join(lines).strip()
    audits = " `deadunits audit` shows it as well." if kind.in_audit else ""
    off = f'`--ignore {kind.code}`, or in `deadunits.toml` `ignore = ["{kind.code}"]`.'
    return (
        f"# {kind.code} {kind.name}: {kind.title}\n\n"
        f"Severity unless told otherwise: **{kind.severity}**.{audits}\n\n{body}\n\n"
        f"## Turn it off\n\n{off} Another severity: `--severity {kind.code}=warning`.\n"
    )
