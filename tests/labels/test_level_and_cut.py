"""Levels by rule, cuts and mixed levels, on graphs small enough to check by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fine2coarse.labels.level import level
from fine2coarse.labels.mixed import mixed
from fine2coarse.labels.sources import chosen_nodes, cut
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.labels.tree import depths
from fine2coarse.taxonomy.taxonomy import Taxonomy


def classes_of_leaves(space: LabelSpace, taxonomy: Taxonomy) -> dict[str, list[str]]:
    return {
        leaf: [space.class_ids[c] for c in row if c >= 0]
        for leaf, row in zip(taxonomy.leaf_ids, space.table)
    }


def test_level_keeps_every_parent_or_one_by_rule(zoo):
    above = {"poodle": ["dog"], "ball": ["toy"], "car": ["artefact"]}
    assert classes_of_leaves(level(zoo, "1"), zoo) == above | {"toy_dog": ["artefact", "dog"]}
    assert classes_of_leaves(level(zoo, "1", "first"), zoo) == above | {"toy_dog": ["artefact"]}
    assert classes_of_leaves(level(zoo, "1", "deepest"), zoo) == above | {"toy_dog": ["dog"]}
    assert level(zoo, "1").is_multi_label
    assert not level(zoo, "1", "first").is_multi_label


def test_first_rule_is_one_of_the_level_s_own_classes(zoo):
    for hops in zoo.levels:
        every = classes_of_leaves(level(zoo, hops), zoo)
        for leaf, (node,) in classes_of_leaves(level(zoo, hops, "first"), zoo).items():
            assert node in every[leaf]


def test_first_rule_by_rank_takes_the_ancestor_met_first():
    parents = {"b": [], "a": [], "mid": ["a"], "leaf": ["mid", "b"]}
    ranks = {"a": "top", "b": "top"}
    graph = Taxonomy.from_parents(parents, ["leaf"], ranks=ranks, levels=["top"])
    assert level(graph, "top").num_classes == 2
    assert level(graph, "top", "first").class_ids == ("a",)


def test_unknown_rule(zoo):
    with pytest.raises(LabelSpaceError, match="unknown rule 'nearest'"):
        level(zoo, "1", "nearest")


def test_depth_is_the_longest_way_up(zoo):
    found = dict(zip(zoo.node_ids, depths(zoo).tolist()))
    assert found["root"] == 0 and found["dog"] == 2 and found["toy_dog"] == 3


def test_cut_parts_the_leaves(zoo):
    space = cut(zoo, 2)
    # Along first parents: artefact holds toy_dog, ball and car; the rest is the poodle, and the
    # lowest node that holds it is the poodle itself.
    assert classes_of_leaves(space, zoo) == {
        "poodle": ["poodle"],
        "toy_dog": ["artefact"],
        "ball": ["artefact"],
        "car": ["artefact"],
    }
    assert cut(zoo, 1).class_ids == ("root",)
    assert cut(zoo, 4).num_classes == 4
    assert cut(zoo, 2).fingerprint == space.fingerprint


def test_cut_takes_the_nearest_number_there_is():
    star = Taxonomy.from_parents({f"leaf{i}": ["root"] for i in range(5)}, ["leaf0", "leaf1"])
    assert cut(star, 2).num_classes == 2
    wide = Taxonomy.from_parents(
        {f"leaf{i}": ["root"] for i in range(5)}, [f"leaf{i}" for i in range(5)]
    )
    assert cut(wide, 4).num_classes == 5
    with pytest.raises(LabelSpaceError, match="nearest cut that covers every leaf has 1 classes"):
        cut(wide, 3)


def squares_of_all_cuts(taxonomy: Taxonomy, sizes: np.ndarray) -> dict[int, float]:
    """The least sum of squared sizes by number of classes, by trying every set of nodes."""
    below = [
        frozenset(i for i, leaf in enumerate(taxonomy.leaf_nodes) if is_above(taxonomy, node, leaf))
        for node in range(len(taxonomy.node_ids))
    ]
    least: dict[int, float] = {}
    useful = [node for node, leaves in enumerate(below) if leaves]
    for number in range(1, taxonomy.num_leaves + 1):
        for nodes in itertools.combinations(useful, number):
            parts = [below[node] for node in nodes]
            if sum(map(len, parts)) == taxonomy.num_leaves == len(frozenset().union(*parts)):
                cost = sum(sizes[list(part)].sum() ** 2 for part in parts)
                least[number] = min(least.get(number, np.inf), cost)
    return least


def is_above(taxonomy: Taxonomy, upper: int, node: int) -> bool:
    return node == upper or any(is_above(taxonomy, upper, p) for p in taxonomy.parents[node])


@pytest.mark.parametrize("seed", range(8))
def test_cut_of_a_tree_is_the_evenest_there_is(seed):
    generator = np.random.default_rng(seed)
    parents = {"n0": []} | {f"n{i}": [f"n{generator.integers(i)}"] for i in range(1, 13)}
    inner = {above for aboves in parents.values() for above in aboves}
    leaves = [node for node in parents if node not in inner]
    tree = Taxonomy.from_parents(parents, leaves)
    sizes = generator.integers(1, 50, len(leaves))
    for number, least in squares_of_all_cuts(tree, sizes).items():
        space = cut(tree, number, leaf_sizes=sizes)
        found = np.bincount(space.table[:, 0], weights=sizes)
        assert space.num_classes == number
        assert np.sum(found**2) == least


def test_cut_never_goes_below_a_leaf_that_is_an_inner_node_unless_it_may_be_dropped():
    parents = {"animal": [], "dog": ["animal"], "poodle": ["dog"], "pug": ["dog"]}
    parents["cat"] = ["animal"]
    graph = Taxonomy.from_parents(parents, ["dog", "poodle", "pug", "cat"])
    assert classes_of_leaves(cut(graph, 2), graph) == {
        "dog": ["dog"],
        "poodle": ["dog"],
        "pug": ["dog"],
        "cat": ["cat"],
    }
    deeper = cut(graph, 3, drop_uncovered=True)
    assert classes_of_leaves(deeper, graph) == {
        "dog": [],
        "poodle": ["poodle"],
        "pug": ["pug"],
        "cat": ["cat"],
    }
    assert deeper.source["num_uncovered_leaves"] == 1


def test_no_node_of_a_cut_stands_above_another_in_the_graph():
    # Along first parents `b` lies under `y`; in the graph it lies under `x` as well.
    parents = {"x": [], "y": [], "a": ["x"], "c": ["x"], "b": ["y", "x"], "d": ["y"]}
    graph = Taxonomy.from_parents(parents, ["a", "b", "c", "d"])
    for number in (2, 3, 4):
        nodes = [graph.index[node] for node in cut(graph, number).class_ids]
        for upper, node in itertools.permutations(nodes, 2):
            assert not is_above(graph, upper, node)


def test_cut_bad_numbers(zoo):
    with pytest.raises(LabelSpaceError, match="expected 1 to 4"):
        cut(zoo, 5)
    with pytest.raises(LabelSpaceError, match="expected 1 to 2"):
        cut(zoo, 3, leaf_sizes=[0, 0, 5, 5])
    with pytest.raises(LabelSpaceError, match="3 roots"):
        cut(Taxonomy.from_parents({"a": [], "b": [], "c": []}, ["a", "b", "c"]), 1)


def test_own_superclasses(zoo):
    space = chosen_nodes(zoo, ["animal", "artefact"])
    # The toy dog is one edge below artefact and two below animal.
    assert [row[0] for row in classes_of_leaves(space, zoo).values()] == [
        "animal",
        "artefact",
        "artefact",
        "artefact",
    ]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (["animal"], "2 of 4 leaves lie under none of the listed nodes, such as .'ball', 'car'"),
        (["animal", "dog"], "'animal' stands above 'dog'"),
        (["animal", "plant"], "1 of 2 nodes are not in the taxonomy: .'plant'"),
        (["toy", "toy"], "repeats"),
        ([], "0 of 0 nodes"),
    ],
)
def test_own_superclasses_that_are_none(zoo, nodes, message):
    with pytest.raises(LabelSpaceError, match=message):
        chosen_nodes(zoo, nodes)


def test_own_superclasses_may_drop_or_must_cover():
    graph = Taxonomy.from_parents({"a": [], "b": [], "x": ["a"]}, ["x"])
    with pytest.raises(LabelSpaceError, match=r"1 listed nodes cover no leaf: .'b'"):
        chosen_nodes(graph, ["a", "b"])


def test_dropping_leaves_that_no_listed_node_covers(zoo):
    space = chosen_nodes(zoo, ["animal"], drop_uncovered=True)
    assert space.table[:, 0].tolist() == [0, 0, -1, -1]


def test_mixed_keeps_large_leaves_and_lifts_small_ones(pets):
    # wolf and dog stay; jackal (3) is alone in Canis and the fox (4) in Vulpes: together they
    # are 7 canids. The cats meet in Felis.
    space = mixed(pets, [10, 20, 3, 4, 3, 4], min_images=7)
    assert classes_of_leaves(space, pets) == {
        "wolf": ["wolf"],
        "dog": ["dog"],
        "jackal": ["canids"],
        "fox": ["canids"],
        "cat": ["Felis"],
        "sandcat": ["Felis"],
    }
    assert space.source["num_leaves_kept"] == 2


def test_mixed_of_nothing_small_is_the_leaves(pets):
    space = mixed(pets, [5] * 6, min_images=5)
    assert classes_of_leaves(space, pets) == {leaf: [leaf] for leaf in pets.leaf_ids}


def test_mixed_places_what_reaches_the_root(pets):
    # The cats are 3 and come to the root; Felis has 3 in all, and so have the felids. The
    # jackal's genus has enough together with the wolf and the dog.
    with pytest.raises(LabelSpaceError, match=r"2 leaves with 3 images.*min_images=5"):
        mixed(pets, [5, 5, 5, 5, 1, 2], min_images=5)
    dropped = mixed(pets, [5, 5, 5, 5, 1, 2], min_images=5, drop_uncovered=True)
    assert (dropped.table[:4, 0] >= 0).all() and (dropped.table[4:, 0] == -1).all()
    lone = mixed(pets, [5, 5, 1, 5, 5, 5], min_images=5)
    assert classes_of_leaves(lone, pets)["jackal"] == ["Canis"]
    assert lone.source["num_classes_below_min"] == 1 and lone.num_classes == 6
    with pytest.raises(LabelSpaceError, match="no class reaches"):
        mixed(pets, [1] * 6, min_images=50, drop_uncovered=True)


def test_mixed_class_of_a_leaf_that_is_an_inner_node_takes_in_what_is_small_below():
    graph = Taxonomy.from_parents({"dog": [], "pug": ["dog"]}, ["dog", "pug"])
    assert classes_of_leaves(mixed(graph, [9, 1], 5), graph) == {"dog": ["dog"], "pug": ["dog"]}


@pytest.mark.parametrize(
    ("name", "rule", "classes"),
    [
        ("depth:1", "", [["animal"], ["animal", "artefact"], ["artefact"], ["artefact"]]),
        ("depth:1", "first", [["animal"], ["artefact"], ["artefact"], ["artefact"]]),
        ("hops:1", "", [["dog"], ["artefact", "dog"], ["toy"], ["artefact"]]),
        ("hops:1", "first", [["dog"], ["artefact"], ["toy"], ["artefact"]]),
        ("hops:1", "deepest", [["dog"], ["dog"], ["toy"], ["artefact"]]),
        ("hops:2", "first", [["animal"], ["root"], ["artefact"], ["root"]]),
    ],
)
def test_levels_by_hops_and_by_depth(zoo, name, rule, classes):
    space = level(zoo, name, rule)
    found = [[space.class_names[c] for c in row if c >= 0] for row in space.table.tolist()]
    assert [sorted(names) for names in found] == classes
    assert space.name == (f"{name}-{rule}" if rule else name)
