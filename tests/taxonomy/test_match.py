"""A taxonomy matched with a dataset's classes, on the graph that `drawn` draws."""

from __future__ import annotations

import logging
import time

import pytest

from fine2coarse.taxonomy import Taxonomy, TaxonomyError, read_wordnet
from fine2coarse.taxonomy.match import match_leaves, open_matched
from fine2coarse.taxonomy.taxonomy_file import from_bytes
from tests.taxonomy.drawn import DRAWN, as_edge_list, at


@pytest.fixture
def taxonomy() -> Taxonomy:
    return from_bytes(as_edge_list(DRAWN).encode(), "t.csv")


def test_the_leaves_are_the_datasets_in_their_order(taxonomy):
    found = match_leaves(taxonomy, ["rose", "cat", "wren", "poodle"])
    assert found.leaf_ids == ("rose", "cat", "wren", "poodle")
    assert at(found, "1") == [{"plant"}, {"mammal"}, {"bird"}, {"dog"}]


def test_an_inner_node_may_be_a_class_and_what_is_no_class_is_told(taxonomy, caplog):
    caplog.set_level(logging.INFO)
    found = match_leaves(taxonomy, ["dog", "bird"], where="t.csv", dataset="pets")
    assert set(found.node_ids) == {"animal", "mammal", "dog", "bird"}
    assert found.levels == ("0", "1", "2")
    told = "t.csv: 4 of its 4 leaves are no class of pets and are left out: "
    assert told + "'poodle', 'cat', 'wren', 'rose'" in caplog.text


def test_names_match_in_any_case_and_with_any_blank():
    text = "parent,child,name\nanimal,n1,Great_Tit\nanimal,n2,grey-seal\nrock,n3,Granite\n"
    taxonomy = from_bytes(text.encode(), "t.csv")
    found = match_leaves(taxonomy, ["2", "1", "N3"], ["GREY SEAL", "great tit", "x"])
    assert found.leaf_ids == ("n2", "n1", "n3")
    assert match_leaves(taxonomy, ["granite", "grey_seal"]).leaf_ids == ("n3", "n2")


def test_an_id_is_worth_more_than_a_name_and_a_spelling_more_than_a_loose_one():
    taxonomy = from_bytes(b"id,parent,name\na,x,b\nb,x,a\nA,x,c\nx,,top\n", "t.csv")
    assert match_leaves(taxonomy, ["a", "A"]).leaf_ids == ("a", "A")
    assert match_leaves(taxonomy, ["7", "8"], ["a", "c"]).leaf_ids == ("a", "A")


def test_of_equal_names_the_leaf_is_meant():
    taxonomy = from_bytes(b'{"bird": {"dove": ["dove", "wren"]}}', "t.json")
    assert match_leaves(taxonomy, ["dove", "wren"]).leaf_ids == ("bird/dove/dove", "wren")


def test_both_kinds_of_mismatch_are_counted_and_named(taxonomy):
    classes = ["poodel", "cat", "wren", "walrus"]
    with pytest.raises(TaxonomyError) as error:
        match_leaves(taxonomy, classes, where="t.csv", dataset="pets")
    assert str(error.value) == (
        "t.csv: 2 of the 4 classes of pets are no node of it: 'poodel' (nearest: 'poodle'), "
        "'walrus'; 2 of its 4 leaves are no class: 'poodle', 'rose'. A class is found by its id or "
        "name, with or without capitals, '_' or '-': add the missing nodes to the file, or rename "
        "them there"
    )


def test_many_are_named_in_part(taxonomy):
    with pytest.raises(TaxonomyError, match=r"7 of the 7 classes .*'zz4' and 2 more; 4 of its 4"):
        match_leaves(taxonomy, [f"zz{n}" for n in range(7)])


def test_what_is_not_certain_is_told():
    text = b'{"Ericaceae": {"Pieris": ["a"]}, "Pieridae": {"Pieris": ["b"]}}'
    taxonomy = from_bytes(text, "t.json")
    with pytest.raises(TaxonomyError) as error:
        match_leaves(taxonomy, ["Pieris", "a"])
    told = "1 classes could be several nodes: 'Pieris' (Ericaceae/Pieris, Pieridae/Pieris)."
    assert told in str(error.value)
    with pytest.raises(TaxonomyError, match="1 nodes are several classes: 'a' is 'a', 'A'"):
        match_leaves(taxonomy, ["a", "A"])
    assert match_leaves(taxonomy, ["Pieris", "a"], ["Pieridae/Pieris", "a"]).num_leaves == 2


def test_a_file_and_the_leaves_of_wordnet(tmp_path):
    wordnet = read_wordnet()
    ids = wordnet.node_ids
    path = tmp_path / "wordnet.is_a.txt"
    path.write_text("".join(f"{ids[up]} {ids[node]}\n" for up, node in wordnet.edges.tolist()))
    alone = {"n09450163", "n10994097", "n11196627", "n11318824"}  # in no edge
    classes = [synset for synset in wordnet.leaf_ids if synset not in alone]
    began = time.process_time()
    found = open_matched(path, classes)
    assert time.process_time() - began < 3
    assert found.leaf_ids == tuple(classes)
    part = wordnet.with_leaves([wordnet.index[synset] for synset in classes])
    assert part.levels == wordnet.levels
    for level in ("1", "4", "12", "depth:3"):
        assert at(found, level) == at(part, level)
    with pytest.raises(TaxonomyError, match="4 of the 21843 classes of the dataset are no node"):
        open_matched(path, wordnet.leaf_ids)
