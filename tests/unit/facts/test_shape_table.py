"""Values that are put into a model have the shapes of those that they are like, for inputs of other sizes as well."""

from __future__ import annotations

from analyzer.facts.units import ShapeTable


def test_new_values_have_the_other_lengths_of_what_they_are_like() -> None:
    table = ShapeTable({"a": (1, 4, 6), "s": ()}, {}, resized=({"a": (2, 7, 6), "s": ()}, {"s": ()}))
    wider = table.with_values({"same": ("a", (1, 4, 6)), "fewer": ("a", (1, 4, 5)), "scalar": ("s", ())})
    assert wider.shapes["fewer"] == (1, 4, 5)
    assert wider.resized == (
        {"a": (2, 7, 6), "s": (), "same": (2, 7, 6), "fewer": (2, 7, 5), "scalar": ()},
        {"s": (), "scalar": ()},
    )
