"""Tables of levels in which some rows lack a rank: a species without a genus."""

from __future__ import annotations

import pytest

from fine2coarse.taxonomy import TaxonomyError
from fine2coarse.taxonomy.csv_reader import from_bytes
from tests.taxonomy.drawn import at

TABLE = """\
species,genus,family,kingdom
wren,Troglodytes,birds,animals
robin,,birds,animals
cod,Gadus,,animals
moss,,,plants
,Felis,felids,animals
lion,Panthera,felids,
"""


@pytest.fixture
def taxonomy():
    return from_bytes(TABLE.encode(), "t.csv")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("species", ["wren", "robin", "cod", "moss", "Felis", "lion"]),
        ("genus", ["Troglodytes", "robin", "Gadus", "moss", "Felis", "Panthera"]),
        ("family", ["birds", "birds", "Gadus", "moss", "felids", "felids"]),
        ("kingdom", ["animals", "animals", "animals", "plants", "animals", "felids"]),
        ("hops:1", ["Troglodytes", "birds", "Gadus", "plants", "felids", "Panthera"]),
        ("depth:1", ["birds", "birds", "Gadus", "moss", "felids", "Panthera"]),
    ],
)
def test_a_leaf_without_a_rank_has_the_last_class_below_it(taxonomy, level, expected):
    assert taxonomy.level_kind == "ragged"
    assert at(taxonomy, level) == [{name} for name in expected]


def test_what_is_missing_is_passed_over(taxonomy):
    assert taxonomy.leaf_ids == (
        "animals/birds/Troglodytes/wren",
        "animals/birds/robin",
        "animals/Gadus/cod",
        "plants/moss",
        "animals/felids/Felis",
        "felids/Panthera/lion",
    )
    birds = taxonomy.index["animals/birds"]
    assert taxonomy.labels_of(birds, "species") == ()  # it lacks no rank: it is above it


def test_empty_cells_are_counted_and_named(caplog):
    from_bytes(TABLE.encode(), "t.csv")
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "t.csv: 1 of 6 rows have no species: 'Felis'; at that level each has the class below it, "
        "or itself",
        "t.csv: 2 of 6 rows have no genus: 'robin', 'moss'; at that level each has the class below "
        "it, or itself",
        "t.csv: 2 of 6 rows have no family: 'cod', 'moss'; at that level each has the class below "
        "it, or itself",
        "t.csv: 1 of 6 rows have no kingdom: 'lion'; at that level each has the class below it, or "
        "itself",
    ]


def test_many_are_named_in_part(caplog):
    rows = "".join(f"species{n},,birds\n" for n in range(8)) + "x,y,z\n"
    from_bytes(f"species,genus,family\n{rows}".encode(), "t.csv")
    assert "8 of 9 rows have no genus: 'species0', " in caplog.text
    assert "'species4' and 3 more; at that level" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,,x\nb,,x\n", "the column 'genus' is empty; delete it"),
        ("a,\nb,g,x\n", r"row 2: expected 3 names .*, got \['a', ''\]; of a rank that is missing"),
        ("Pieris,,x\na,Pieris,x\n", "row 3: 'Pieris' is a genus here and a species in another"),
        ("a,g,x\n,a,x\n", "row 3: genus 'a' has two parents"),
        (",g,x\n,g,x\n", "row 3: genus 'g' repeats"),
    ],
)
def test_what_contradicts_itself_is_told(rows, message):
    with pytest.raises(TaxonomyError, match=message):
        from_bytes(f"species,genus,family\n{rows}".encode(), "t.csv")


def test_a_full_table_is_no_ragged_one(caplog):
    assert from_bytes(b"a,b\nx,y\n", "t.csv").level_kind == "rank"
    assert not caplog.records
