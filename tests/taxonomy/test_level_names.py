"""Levels by hops from the leaf and by depth from the root, beside those that have names.

root ─┬─ animal ─┬─ dog ── poodle          poodle: depth 3
      │          └─ toy_dog                toy_dog: depth 2 (by artefact too)
      ├─ artefact ─┬─ toy_dog
      │            └─ toy ── ball          ball: depth 3
      └─ rock                              rock: depth 1
"""

from __future__ import annotations

import pytest

from fine2coarse.taxonomy import Taxonomy, TaxonomyError, level_names
from fine2coarse.taxonomy.taxonomy_file import from_bytes
from tests.taxonomy.drawn import at

PARENTS = {
    "root": [], "animal": ["root"], "artefact": ["root"], "rock": ["root"], "dog": ["animal"],
    "toy": ["artefact"], "poodle": ["dog"], "toy_dog": ["artefact", "animal"], "ball": ["toy"],
}  # fmt: skip
LEAVES = ["poodle", "toy_dog", "ball", "rock"]


@pytest.fixture
def graph() -> Taxonomy:
    levels = [str(hops) for hops in range(4)]
    return Taxonomy.from_parents(PARENTS, LEAVES, levels=levels, level_kind="hops")


@pytest.fixture
def tree() -> Taxonomy:
    """By ranks: species, genus, family."""
    return from_bytes(b"species,genus,family\nwolf,Canis,canids\ncat,Felis,felids\n", "t.csv")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("depth:0", [{"root"}, {"root"}, {"root"}, {"root"}]),
        ("depth:1", [{"animal"}, {"animal", "artefact"}, {"artefact"}, {"rock"}]),
        ("depth:2", [{"dog"}, {"toy_dog"}, {"toy"}, {"rock"}]),
        ("depth:3", [{"poodle"}, {"toy_dog"}, {"ball"}, {"rock"}]),
        ("hops:0", [{"poodle"}, {"toy_dog"}, {"ball"}, {"rock"}]),
        ("hops:1", [{"dog"}, {"animal", "artefact"}, {"toy"}, {"root"}]),
        ("hops:2", [{"animal"}, {"root"}, {"artefact"}, {"root"}]),
        ("hops:3", [{"root"}, {"root"}, {"root"}, {"root"}]),
    ],
)
def test_a_graph_by_hops_and_by_depth(graph, level, expected):
    assert at(graph, level) == expected


def test_depth_is_along_the_shortest_way(graph):
    """A second, longer way up changes no depth; classes there are labels all the same."""
    parents = {**PARENTS, "rock": ["root", "toy"]}
    other = Taxonomy.from_parents(parents, LEAVES)
    assert (other.max_depth, other.max_hops) == (3, 3)
    assert at(other, "depth:1")[3] == {"rock"}
    parents = {**PARENTS, "ball": ["toy", "dog"], "toy_dog": ["artefact", "dog"]}
    other = Taxonomy.from_parents(parents, LEAVES)
    assert at(other, "depth:1")[1] == {"animal", "artefact"}  # depth 2, by artefact
    assert at(other, "depth:2")[1:3] == [{"toy_dog"}, {"toy", "dog"}]


def test_ranks_have_hops_and_depth_too(tree):
    assert at(tree, "hops:1") == at(tree, "depth:1") == at(tree, "genus")
    assert at(tree, "depth:0") == at(tree, "family") == [{"canids"}, {"felids"}]
    assert tree.counted_levels() == (
        "hops:0", "hops:1", "hops:2", "depth:2", "depth:1", "depth:0",
    )  # fmt: skip


def test_hops_are_the_numbers_of_a_graph_without_ranks(graph):
    assert graph.counted_levels() == ("depth:3", "depth:2", "depth:1", "depth:0")
    for hops in range(4):
        assert graph.ancestors_at(f"hops:{hops}") == graph.ancestors_at(str(hops))
    found = [graph.num_hops(level) for level in ("2", "hops:2", "depth:2")]
    assert found == [2, 2, None]


def test_a_name_of_its_own_comes_first():
    taxonomy = from_bytes(b"hops:1,depth:0\na,x\nb,y\n", "t.csv")
    assert at(taxonomy, "hops:1") == [{"a"}, {"b"}]
    assert at(taxonomy, "hops:0") == [{"a"}, {"b"}]
    assert taxonomy.num_hops("hops:1") is None


@pytest.mark.parametrize(
    "level", ["hops:4", "depth:4", "depth:-1", "depth:01", "hops", "genus", "hops:", "hops:1 "]
)
def test_an_unknown_level_is_told_with_those_there_are(graph, level):
    has = r"this taxonomy has \['0', '1', '2', '3'\], hops:0 to hops:3 and depth:0 to depth:3"
    with pytest.raises(TaxonomyError, match=f"unknown level '{level}'; {has}"):
        graph.ancestors_at(level)


def test_names_that_count():
    assert level_names.counted("hops:12") == ("hops", 12)
    assert level_names.counted("depth:0") == ("depth", 0)
    assert level_names.counted("12") is level_names.counted("xhops:1") is None
    assert level_names.told(("a",), 2, 1) == "['a'], hops:0 to hops:2 and depth:0 to depth:1"


def test_hops_of_a_graph_need_no_level_between(graph):
    """Asked from above or from below, with or without levels that are known already."""
    fresh = Taxonomy.from_json(graph.to_json())
    assert fresh.ancestors_at("hops:3") == graph.ancestors_at("3")
    assert fresh.ancestors_at("hops:2") == graph.ancestors_at("2")


def test_the_part_at_and_above_some_nodes(graph, tree):
    part = graph.with_leaves([graph.index[name] for name in ("rock", "dog")])
    assert part.leaf_ids == ("rock", "dog")
    assert set(part.node_ids) == {"root", "rock", "dog", "animal"}
    assert part.levels == ("0", "1", "2")
    assert at(part, "1") == [{"root"}, {"animal"}]
    canis = tree.with_leaves([tree.index["canids/Canis"], tree.index["felids/Felis"]])
    assert (canis.levels, canis.level_kind) == (("genus", "family"), "rank")
    mixed = tree.with_leaves([tree.index["canids/Canis"], tree.index["felids/Felis/cat"]])
    assert (mixed.levels, mixed.level_kind) == (("species", "genus", "family"), "ragged")
    assert at(mixed, "species") == [{"Canis"}, {"cat"}]


def test_the_fingerprint_of_what_was_there_before_is_what_it_was(graph, tree):
    """Printed by the code that knew ranks and hops alone."""
    assert graph.fingerprint == "f1826e91e846ef614704ba005fbbee510864b8da901f1cdbb67af2e5ecc94cea"
    assert tree.fingerprint == "75b01a741b0ee3ad1828d91e0e9e2cb5e5cfd06543ea6c9a598743bf604478a6"
