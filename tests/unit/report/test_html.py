"""The HTML report as a file: whole, small, and safe with names that mean harm."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from analyzer.facts.audit import AuditFacts
from analyzer.facts.fed import WitnessPicture
from analyzer.facts.picture import GraphPicture
from analyzer.facts.pruned import Comparison, Latency, OutputDifference, PrunedFacts, Refused, Size
from analyzer.report.html.layout import place
from analyzer.report.html.packed import BINS, activity, histogram, pack
from analyzer.report.html.page import render_html
from tests import made
from tests.deep import deep, picture

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028\x00"


def unzipped(page: str, name: str) -> bytes:
    found = re.search(rf'<script type="text/plain" id="{name}">([^<]*)</script>', page)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


def names(page: str) -> Any:
    return json.loads(unzipped(page, "names"))


def own_part(page: str) -> str:
    """What is not library or script of ours."""
    return page.split('<script type="text/plain" id="names">')[0]


def evil_facts() -> tuple[AuditFacts, GraphPicture]:
    plain = made.first_dead(16, 3, EVIL)
    layer = replace(plain, audited=replace(plain.audited, node=EVIL, op=EVIL, module=EVIL))
    base = made.facts()
    facts = made.facts(
        [layer],
        model=replace(base.model, path=EVIL, producer=EVIL),
        locked=tuple(replace(entry, value=EVIL, detail=EVIL) for entry in base.locked),
        warnings=tuple(replace(warning, message=EVIL, value=EVIL) for warning in base.warnings),
        operators_without_rule=tuple(replace(o, op=EVIL, why=EVIL) for o in base.operators_without_rule),
        proof=replace(made.proof(EVIL), notes=(EVIL,)),
    )
    return facts, picture([layer])


def pruned(name: str = "out") -> PrunedFacts:
    output = OutputDifference(name, 1e-6, 2.0, 5e-7, 1e-5, top1=1.0)
    compared = Comparison("probe.npz", 360, (output,))
    return PrunedFacts(
        before=Size(6474, 6368, 27_000, 512),
        after=Size(600, 578, 3_000, 128),
        changed=True,
        comparison=compared,
        latency=Latency(1e-4, 9e-5, 0.9, 0.85, 0.95, 30, 1),
        refused=(Refused(EVIL, "no-way", EVIL),),
        notes=(EVIL,),
    )


def test_no_name_of_the_model_becomes_markup() -> None:
    facts, graph = evil_facts()
    page = render_html(facts, graph, pruned(EVIL))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    scripts = re.findall(r"<script[^>]*>", own_part(page))
    assert scripts == []
    assert "&lt;/script&gt;" in page


def test_names_with_lone_surrogates_can_be_written() -> None:
    plain = made.facts()
    facts = replace(plain, model=replace(plain.model, path="bad\udcff.onnx"))
    page = render_html(facts, picture(list(facts.layers)))
    assert page.encode("utf-8")


def test_only_the_scripts_with_these_hashes_may_run() -> None:
    page = render_html(made.facts(), picture(list(made.facts().layers)))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    allowed = re.findall(r"'sha256-([^']+)'", policy[1])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts] == allowed
    assert "default-src 'none'" in policy[1]
    assert "unsafe-eval" not in policy[1]


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = own_part(render_html(made.facts(), picture(list(made.facts().layers))))
    assert not re.search(r"<link|<iframe|\bsrc=|@import|url\(", page)


def test_every_number_arrives_as_it_was() -> None:
    facts = made.facts()
    page = render_html(facts, picture(list(facts.layers)))
    data, numbers = names(page), unzipped(page, "numbers")
    kind, start, size = data["arrays"]["verdict"]
    verdicts = np.frombuffer(numbers, kind, size, start)
    for layer, entry in zip(facts.layers, data["layers"], strict=True):
        here = verdicts[entry["offset"] : entry["offset"] + entry["units"]] & 7
        assert tuple(np.flatnonzero(here == 1)) == layer.dead
    kind, start, size = data["arrays"]["fired"]
    assert np.frombuffer(numbers, kind, size, start).tolist() == [0] * 60 + [360] * 4 + [0] * 3 + [360] * 29


def test_numbers_keep_three_digits_and_what_is_not_finite() -> None:
    seen = made.seen([0.0] * 4, [1.2345, 65504.0, np.inf, 0.0])
    packed = pack(made.facts([made.layer(made.relu(4), seen)]))
    kind, start, size = packed.index["high"]
    high = np.frombuffer(packed.data, kind, size, start)
    assert high == pytest.approx([1.2345, 65504.0, np.inf, 0.0], rel=5e-4)


def test_every_unit_falls_into_one_bin() -> None:
    shares = np.array([0.0, 0.005, 0.01, 0.03, 0.05, 0.1, 0.95, 0.995, 1.0])
    found = dict(zip(BINS, histogram(shares), strict=True))
    assert sum(found.values()) == len(shares)
    assert found["never"] == found["always"] == 1
    assert found["0 to 1 %"] == found["1 to 5 %"] == 2
    assert found["90 to 99 %"] == found["99 to 100 %"] == found["5 to 10 %"] == 1


def test_a_linear_layer_has_no_activity() -> None:
    assert activity(made.layer(made.linear(2), made.seen([-1, 0], [1, 2]))) is None


def over_domain(**proof: Any) -> tuple[AuditFacts, GraphPicture]:
    layer = made.with_evidence(made.first_dead(8, 4, "relu"), structural=(0,), proven=(1,), refuted=(2,))
    return made.facts([layer], locked=(), proof=made.proof(**proof)), picture([layer])


def test_evidence_over_a_domain_is_counted_and_stands_beside_each_verdict() -> None:
    facts, graph = over_domain()
    page = render_html(facts, graph)
    text = " ".join(re.sub(r"<[^>]*>", " ", own_part(page)).split())
    assert "4 of 8 units are dead — 50 % , 1 on the probe only" in text.replace("%,", "% ,")
    assert "1 unit is proven dead for every input of the domain. 1 unit is dead on the probe only" in text
    assert "Domain: pixels (x 0 to 1)." in text and "CONDITIONAL" not in text
    assert names(page)["domain"] == "pixels (x 0 to 1)"
    (layer,) = names(page)["layers"]
    assert (layer["structural"], layer["proven"], layer["refuted"]) == (1, 1, 1)
    packed = pack(facts)
    kind, start, size = packed.index["verdict"]
    flags = np.frombuffer(packed.data, kind, size, start)
    assert [int(flag) for flag in flags[:4] & (8 | 64 | 128)] == [8, 64, 128, 0]
    assert "CONDITIONAL" in render_html(*over_domain(conditional=True))


def test_inputs_that_move_dead_units_are_shown() -> None:
    facts, graph = over_domain()
    seen = [WitnessPicture(b"\x89PNG", {"relu": (2, 3)}), WitnessPicture(b"\x89PNG2", {"relu": (2,)})]
    page = own_part(render_html(facts, graph, witnesses=seen))
    assert page.count('alt="An input of the domain that moves') == 2
    assert '<a href="#layer-0">unit 2, layer 1</a><br>and 1 more' in page
    assert "of 3, the 2 that refute most" in page
    assert "An input of the domain" not in own_part(render_html(facts, graph))


def test_a_page_without_a_probe_says_so() -> None:
    page = render_html(made.facts(probe=None), GraphPicture((), ()))
    assert "by the weights alone" in page
    assert 'id="depth"' not in page


def test_before_and_after_are_shown_when_there_was_a_prune() -> None:
    facts = made.facts()
    page = render_html(facts, picture(list(facts.layers)), pruned())
    assert "Before and after" in page
    assert "faster" in page
    assert "Before and after" not in render_html(facts, picture(list(facts.layers)))


def test_a_model_without_audited_values_has_a_page_too() -> None:
    empty = replace(made.facts(), layers=(), locked=(), warnings=())
    assert "Nothing to audit" in render_html(empty, GraphPicture((), ()))


def test_two_thousand_layers_stay_under_ten_megabytes() -> None:
    facts, graph = deep(2000)
    assert len(render_html(facts, graph).encode()) < 10_000_000


def test_a_model_with_too_many_units_keeps_the_telling_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analyzer.report.html.packed.MOST_UNITS", 100)
    layers = [made.first_dead(80, 0, "alive"), made.first_dead(80, 70, "dying")]
    packed = pack(made.facts(layers))
    assert packed.offsets == (-1, 0)
    assert packed.index["bins"][2] == 2 * len(BINS)


def test_no_two_boxes_overlap_and_data_flows_forward_in_rows() -> None:
    _, graph = deep(60)
    placed = place(graph)
    assert len(set(placed.boxes)) == len(graph.nodes)
    for (a, b), bends in zip(graph.edges, placed.bends, strict=True):
        (x_a, y_a), (x_b, y_b) = placed.boxes[a], placed.boxes[b]
        assert x_b > x_a or y_b > y_a
        assert not {(x_a, y_a), (x_b, y_b)} & set(bends)


def test_the_libraries_are_those_that_their_record_names() -> None:
    folder = files("analyzer.report.html").joinpath("vendor")
    record = folder.joinpath("README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w.]+)` \|.*\| ([0-9a-f]{64}) \|$", record, re.MULTILINE)
    assert {name for name, _ in listed} == {f.name for f in folder.iterdir() if f.name.endswith(".js")}
    for name, digest in listed:
        assert hashlib.sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest
