"""The page of one finding, made from its file's docstring."""

from __future__ import annotations

from analyzer.gate.rule import HEADINGS, Rule


def page(rule: Rule) -> str:
    """The page of one finding in Markdown.

    Raises:
        ValueError: the docstring does not have exactly the fixed headings, in their order.
    """
    lines, headings = [], []
    for line in rule.docstring.splitlines()[1:]:
        if line and not line.startswith(" "):
            headings.append(line)
            lines += [f"## {line}", ""]
        else:
            lines.append(line.removeprefix("    "))
    if tuple(headings) != HEADINGS:
        raise ValueError(f"The docstring of {rule.module} has the headings {headings}, not {list(HEADINGS)}.")
    body = "\n".join(lines).strip()
    off = f'`--ignore {rule.code}`, or in `deadunits.toml` `ignore = ["{rule.code}"]`.'
    return (
        f"# {rule.code} {rule.name}: {rule.title}\n\nSeverity unless told otherwise: **{rule.severity}**.\n\n{body}\n\n"
        f"## Turn it off\n\n{off} Another severity: `--severity {rule.code}=warning`.\n"
    )
