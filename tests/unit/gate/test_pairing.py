"""Which layer is which: by name, and by order where names changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.facts.pairing import LayerKey, Match, match_layers


def keys(*layers: str) -> list[LayerKey]:
    """`a8` is a rectifier `a` of 8 units, `t8~` a saturating one."""
    return [
        LayerKey(text[0], "saturating" if text.endswith("~") else "rectifier", int(text[1:].strip("~")))
        for text in layers
    ]


def pairs(then: list[LayerKey], now: list[LayerKey]) -> list[str]:
    return [f"{then[m.then].value}{now[m.now].value}{'?' if m.by_order else ''}" for m in match_layers(then, now)]


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (("a8", "b8"), ("a8", "b8"), ["aa", "bb"]),
        (("a8", "b8"), ("b8", "a8"), ["bb", "aa"]),
        (("a8", "b8"), ("x8", "y8"), ["ax?", "by?"]),
        (("a8", "b8", "c8"), ("x8", "b8", "y8"), ["ax?", "bb", "cy?"]),
        (("a8", "b8"), ("x8", "n4", "y8"), ["ax?", "by?"]),
        (("a8", "b4", "c8"), ("x8", "y8"), ["ax?", "cy?"]),
        (("a8",), ("a4",), ["aa"]),
        (("a8",), ("x4",), []),
        (("a8",), ("x8~",), []),
        (("a8", "b8"), ("b8", "x8"), ["bb"]),  # x stands after b, a before it
        ((), ("a8",), []),
    ],
)
def test_layers_are_paired(then: tuple[str, ...], now: tuple[str, ...], expected: list[str]) -> None:
    assert pairs(keys(*then), keys(*now)) == expected


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ("a:m b:n", "b:m a:n", ["ab", "ba"]),
        ("a:m", "a:n", ["aa?"]),  # by its place, as it would be found under any name
        ("a:m", "a", ["aa"]),
        ("a", "a:m", ["aa"]),
        ("a:m b:m", "a:m b:m", ["aa", "bb"]),  # a name of two layers is none
        ("a:m b:n", "b:m c:k", ["ab", "bc?"]),  # b is n, k is no other
    ],
)
def test_modules_are_looked_at_first(then: str, now: str, expected: list[str]) -> None:
    def named(text: str) -> list[LayerKey]:
        return [LayerKey(entry[0], "rectifier", 8, entry[2:]) for entry in text.split()]

    assert pairs(named(then), named(now)) == expected


def test_calls_of_a_module_are_told_apart_by_tensors_where_some_are_gone() -> None:
    def of(**modules: str) -> list[LayerKey]:
        return [LayerKey(value, "rectifier", 6, module) for value, module in modules.items()]

    twice, renamed = of(a="act", b="act@1"), of(c="act", d="act@1")
    assert pairs(twice, renamed) == ["ac", "bd"]
    assert pairs(twice, of(b="act")) == ["bb"], "what was the second call is counted as the first"
    assert pairs(of(b="act"), twice) == ["bb"]
    assert pairs(of(a="cell@Tanh", b="cell@Sigmoid"), of(b="cell")) == ["bb"]


def test_a_module_with_another_activation_is_not_the_same_layer_by_its_module() -> None:
    then, now = LayerKey("a", "rectifier", 8, "act"), LayerKey("b", "smooth", 8, "act")
    assert match_layers([then], [now]) == []


layers = st.lists(
    st.builds(LayerKey, st.sampled_from("abcdef"), st.just("rectifier"), st.sampled_from([4, 8])),
    unique_by=lambda key: key.value,
)


@given(then=layers, now=layers)
def test_no_layer_is_paired_twice_and_names_come_first(then: list[LayerKey], now: list[LayerKey]) -> None:
    found = match_layers(then, now)
    assert len({m.then for m in found}) == len({m.now for m in found}) == len(found)
    for m in found:
        same = then[m.then].value == now[m.now].value
        assert m.by_order is not same
        assert same or then[m.then].units == now[m.now].units
    common = {key.value for key in then} & {key.value for key in now}
    assert {now[m.now].value for m in found if not m.by_order} == common


def test_a_match_says_where() -> None:
    assert match_layers(keys("a8"), keys("x8")) == [Match(0, 0, by_order=True)]


def test_two_thousand_renamed_layers_are_paired_in_a_moment() -> None:
    then = [LayerKey(f"a{i}", "rectifier", 64) for i in range(2000)]
    now = [LayerKey(f"b{i}", "rectifier", 64) for i in range(2000)]
    assert len(match_layers(then, now)) == 2000
