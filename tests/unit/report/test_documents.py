"""The schemas that are shipped are those of the structs, and any name can be written."""

from __future__ import annotations

import json

import jsonschema
import pytest

from analyzer.report.audit.json import Root, Totals
from analyzer.report.documents import text_of
from analyzer.report.prune.json import Timed
from tests.shipped import COMMANDS, schema_file, schema_of
from tests.snapshots.stored import is_what_it_was


@pytest.mark.parametrize("command", COMMANDS)
def test_the_schema_that_is_shipped_is_current(command: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(command))
    is_what_it_was(json.dumps(schema_of(command), indent=1) + "\n", schema_file(command))


def test_a_document_is_indented_and_ends_in_a_newline() -> None:
    assert text_of(Totals(3, 1)) == '{\n "units": 3,\n "dead": 1\n}\n'


@pytest.mark.parametrize("name", ["naïve 模型", "half a \udc80 character", 'quotes " and \\ and \n'])
def test_every_name_can_be_written(name: str) -> None:
    text = text_of(Root(name, 0))
    text.encode("utf-8")
    assert json.loads(text)["value"] == name


@pytest.mark.parametrize("verdict", ["faster", "half \udc80"])
def test_what_is_not_finite_is_null(verdict: str) -> None:
    text = text_of(Timed(1.0, 2.0, float("inf"), float("nan"), 2.0, 3, 1, verdict))
    assert [json.loads(text)[name] for name in ("before", "ratio", "ratio_low")] == [1.0, None, None]
