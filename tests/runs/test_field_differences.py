"""What an error says of two recipes that differ: few fields, short values, a remedy that works."""

from __future__ import annotations

import pytest

from fine2coarse.runs.field_differences import as_flag, differing_fields, short, told
from fine2coarse.runs.stored_recipe import RunError, check_same


def test_fields_are_compared_within_mappings():
    before = {"a": {"x": 1, "y": 2}, "b": [1]}
    found = list(differing_fields(before, {"a": {"x": 1, "y": 3}, "b": [1, 2]}))
    assert found == [("a.y", 2, 3), ("b", [1], [1, 2])]
    assert not list(differing_fields(before, before))
    assert list(differing_fields({}, {"c": 5})) == [("c", None, 5)]


def test_no_value_is_longer_than_80_letters_and_no_more_than_8_fields_are_told():
    assert len(short("x" * 500)) == 80 and short("x" * 500).endswith("…")
    whole = {f"field{number}": "v" * 300 for number in range(12)}
    text = told(list(differing_fields({"recipe": "scratch"} | whole, {"recipe": whole})))
    assert text.endswith("; and 5 more") and text.count(" was ") == 8
    assert len(text) < 8 * 200


def test_an_error_names_the_flags_that_go_back():
    before = {"pretrain": {"total_steps": 12}, "precision": "float32"}
    now = {"pretrain": {"total_steps": 20}, "precision": "mixed_bfloat16"}
    with pytest.raises(RunError) as told:
        check_same(before, now, "study runs/x", flags=True)
    assert str(told.value) == (
        "study runs/x belongs to another recipe; differing: precision was 'float32', now "
        "'mixed_bfloat16'; pretrain.total_steps was 12, now 20. Use another --workdir, or go back "
        "with --config.precision=float32 --config.pretrain.total_steps=12"
    )
    with pytest.raises(RunError, match=r"Use another --workdir, or go back to that recipe$"):
        check_same(before, now, "run folder runs/x")
    with pytest.raises(RunError, match=r"go back to that recipe, as by --config.precision=float32"):
        check_same({"precision": "float32"}, {"precision": "x", "new": 1}, "s", flags=True)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (0.2, "--config.a.b=0.2"),
        (True, "--config.a.b=True"),
        ("two words", '--config.a.b="two words"'),
        (None, None),
        ({"x": 1}, None),
    ],
)
def test_what_a_flag_can_set(value, flag):
    assert as_flag("a.b", value) == flag
