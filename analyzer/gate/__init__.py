"""Is a model fit to be deployed? Findings judged from an audit's facts alone; one finding per file."""

from analyzer.gate.catalogue import rule_named
from analyzer.gate.judge import judge
from analyzer.gate.rule_page import page

__all__ = ["judge", "page", "rule_named"]
