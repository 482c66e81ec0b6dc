"""The graph on a taxonomy small enough to draw.

root ── a ── c ── e        e and f are below both a and b
    └── b ──┘ └── f
         └── d            g stands alone
"""

from __future__ import annotations

import numpy as np
import pytest

from fine2coarse.taxonomy import Taxonomy, TaxonomyError

PARENTS = {
    "e": ["c"],
    "f": ["c"],
    "c": ["a", "b"],
    "d": ["b"],
    "a": ["root"],
    "b": ["root"],
    "root": [],
    "g": [],
}


def hops(leaves=("e", "f", "d", "c", "g"), num_levels=5) -> Taxonomy:
    levels = [str(k) for k in range(num_levels)]
    return Taxonomy.from_parents(PARENTS, leaves, levels=levels, level_kind="hops")


def ids(taxonomy: Taxonomy, nodes) -> set[str]:
    return {taxonomy.node_ids[node] for node in nodes}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("0", [{"e"}, {"f"}, {"d"}, {"c"}, {"g"}]),
        ("1", [{"c"}, {"c"}, {"b"}, {"a", "b"}, {"g"}]),
        ("2", [{"a", "b"}, {"a", "b"}, {"root"}, {"root"}, {"g"}]),
        ("3", [{"root"}, {"root"}, {"root"}, {"root"}, {"g"}]),
        ("4", [{"root"}, {"root"}, {"root"}, {"root"}, {"g"}]),
    ],
)
def test_hops_follow_all_paths_and_end_at_roots(level, expected):
    taxonomy = hops()
    assert [ids(taxonomy, nodes) for nodes in taxonomy.ancestors_at(level)] == expected


def test_short_paths_end_while_long_ones_go_on():
    parents = {"x": ["root", "y"], "y": ["z"], "z": ["root"], "root": []}
    levels = ["0", "1", "2", "3"]
    taxonomy = Taxonomy.from_parents(parents, ["x"], levels=levels, level_kind="hops")
    assert [ids(taxonomy, taxonomy.ancestors_at(level)[0]) for level in levels] == [
        {"x"}, {"root", "y"}, {"root", "z"}, {"root"},
    ]  # fmt: skip


def test_ancestors_descendants_children_paths():
    taxonomy = hops()
    at = taxonomy.index
    assert ids(taxonomy, taxonomy.ancestors(at["e"])) == {"c", "a", "b", "root"}
    assert ids(taxonomy, taxonomy.descendants(at["b"])) == {"c", "d", "e", "f"}
    assert ids(taxonomy, taxonomy.children[at["b"]]) == {"c", "d"}
    assert taxonomy.ancestors(at["root"]) == taxonomy.descendants(at["e"]) == ()
    paths = [tuple(taxonomy.node_ids[n] for n in path) for path in taxonomy.paths(at["e"])]
    assert sorted(paths) == [("e", "c", "a", "root"), ("e", "c", "b", "root")]
    assert taxonomy.paths(at["g"]) == [(at["g"],)]


def test_edges_are_in_topological_order():
    taxonomy = hops()
    assert taxonomy.edges.shape == (7, 2)
    assert np.all(taxonomy.edges[:, 0] < taxonomy.edges[:, 1])


def test_deep_graphs_need_no_recursion():
    depth = 20_000
    parents = {f"n{i}": [f"n{i - 1}"] if i else [] for i in reversed(range(depth))}
    taxonomy = Taxonomy.from_parents(parents, [f"n{depth - 1}"], levels=["0"], level_kind="hops")
    assert len(taxonomy.ancestors(depth - 1)) == depth - 1
    assert len(taxonomy.descendants(0)) == depth - 1


def test_too_many_paths_are_an_error():
    parents = {"n0": []}
    for step in range(12):  # every step doubles the paths
        parents |= {f"l{step}": [f"n{step}"], f"r{step}": [f"n{step}"]}
        parents[f"n{step + 1}"] = [f"l{step}", f"r{step}"]
    taxonomy = Taxonomy.from_parents(parents, ["n12"])
    with pytest.raises(TaxonomyError, match="more than 1000 paths"):
        taxonomy.paths(taxonomy.index["n12"])


def test_ranks_take_every_ancestor_of_the_rank():
    ranks = {"root": "top", "a": "group", "b": "group", **dict.fromkeys("efd", "leaf")}
    taxonomy = Taxonomy.from_parents(
        PARENTS, ["e", "d"], ranks=ranks, levels=["leaf", "group", "top"]
    )
    found = [ids(taxonomy, nodes) for nodes in taxonomy.ancestors_at("group")]
    assert found == [{"a", "b"}, {"b"}]
    assert ids(taxonomy, taxonomy.labels_of(taxonomy.index["c"], "group")) == {"a", "b"}
    assert taxonomy.labels_of(taxonomy.index["g"], "group") == ()
    with pytest.raises(TaxonomyError, match=r"unknown level 'genus'"):
        taxonomy.labels_of(0, "genus")


def test_a_leaf_without_the_rank_is_named():
    taxonomy = Taxonomy.from_parents(PARENTS, ["e", "g"], ranks={"a": "group"}, levels=["group"])
    with pytest.raises(TaxonomyError, match=r"1 leaves have no ancestor of rank 'group': \['g'\]"):
        taxonomy.ancestors_at("group")


def test_json_and_fingerprint():
    taxonomy = hops()
    again = Taxonomy.from_json(taxonomy.to_json())
    assert again.fingerprint == taxonomy.fingerprint
    assert hops(leaves=("f", "e", "d", "c", "g")).fingerprint != taxonomy.fingerprint


def test_a_cycle_is_spelled_out():
    with pytest.raises(TaxonomyError, match="a → b → c → a"):
        Taxonomy.from_parents({"a": ["b"], "b": ["c"], "c": ["a"]}, ["a"])
