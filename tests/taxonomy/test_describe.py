"""A taxonomy described, on a tree small enough to draw, and opened by name."""

from __future__ import annotations

import pytest

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.describe import describe_node, levels_table, node_text
from fine2coarse.taxonomy.open import open_taxonomy
from fine2coarse.taxonomy.summary import summarize_level
from fine2coarse.taxonomy.taxonomy import Taxonomy, TaxonomyError


@pytest.fixture
def tree(tmp_path) -> Taxonomy:
    """Two birds and a fish."""
    path = tmp_path / "animals.csv"
    path.write_text("species,kind\nwren,bird\nrobin,bird\ncod,fish\n")
    return open_taxonomy(str(path))


def test_the_levels_as_a_table(tree):
    summaries = [summarize_level(tree, level) for level in tree.levels]
    head, columns, _, *rows = levels_table(tree, summaries).splitlines()
    assert head == "3 leaves, 5 nodes; class sizes in leaves"
    assert columns.split()[:3] == ["level", "classes", "names"]
    # level, classes, names, leaves with several labels, most labels, smallest, median, largest
    assert [row.split() for row in rows] == [
        ["species", "3", "3", "0", "1", "1", "1", "1"],
        ["kind", "2", "2", "0", "1", "1", "1.5", "2"],
    ]


def test_a_node(tree):
    bird = next(node for node in tree.node_ids if tree.names[tree.index[node]] == "bird")
    found = describe_node(tree, bird)
    assert (found["num_children"], found["num_descendants"], found["is_leaf"]) == (2, 2, False)
    lines = node_text(tree, found).splitlines()
    assert lines[1] == "no leaf; 2 children, 2 descendants"
    assert lines[2] == "parents: none, a root"
    with pytest.raises(TaxonomyError, match="no node 'dodo' in this taxonomy"):
        describe_node(tree, "dodo")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None,), "none was given"),
        (("birds",), "--taxonomy=birds: nothing is there"),
        (("inat2021",), "needs --categories=FILE"),
        (("imagenet21k", "", "x"), "goes with --taxonomy=inat2021"),
        (("inat2021", "x"), "goes with --taxonomy=imagenet21k"),
    ],
)
def test_mistakes(given, message):
    with pytest.raises(UsageError, match=message):
        open_taxonomy(*given)
