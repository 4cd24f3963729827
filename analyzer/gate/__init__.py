"""Is a model fit to be deployed? Findings judged from an audit's facts alone."""

from analyzer.gate.catalogue import kind_named
from analyzer.gate.judge import audit_findings, check_codes, judge

__all__ = ["audit_findings", "check_codes", "judge", "kind_named"]
