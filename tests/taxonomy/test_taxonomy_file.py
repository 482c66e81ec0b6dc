"""Every format that is read: told by its content, or asked for; the same graph comes out."""

from __future__ import annotations

import json
import logging
import random
import time

import pytest

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy import Taxonomy, TaxonomyError, read_wordnet
from fine2coarse.taxonomy.open import open_taxonomy
from fine2coarse.taxonomy.taxonomy_file import FORMATS, from_bytes, read_taxonomy_file
from tests.taxonomy import drawn
from tests.taxonomy.drawn import DRAWN, LEAVES, ancestors_of, as_edge_list, at, expected

_EDGES = {
    "parent,child": as_edge_list(DRAWN),
    "child,parent": as_edge_list(DRAWN, header="child,parent"),
    "no header": as_edge_list(DRAWN, header=""),
    "no header, child first": as_edge_list(DRAWN, header="child").removeprefix("child\n"),
    "tabs": as_edge_list(DRAWN, "\t", header="Parent ID,Child_ID"),
    "blanks": as_edge_list(DRAWN, " ", header=""),
    "blanks, header": as_edge_list(DRAWN, "  "),
    "id,parent and empty": as_edge_list(DRAWN, header="child,parent", root="").replace(
        "child", "id"
    ),
    "root": as_edge_list(DRAWN, header="", root="root"),
    "root, blanks": as_edge_list(DRAWN, " ", header="", root="root"),
    "none": as_edge_list(DRAWN, root="None"),
    "self": as_edge_list(DRAWN, root="self"),
    "spreadsheet": "sep=;\r\n" + as_edge_list(DRAWN, ";").replace("\n", "\r\n"),
    "comments": "# mine\n" + as_edge_list(DRAWN) + "# done\n",
    "edges twice": as_edge_list(DRAWN) + "mammal,dog\n",
}
_TREES = {
    "newick": drawn.as_newick(DRAWN),
    "nodes": drawn.as_nested_nodes(DRAWN),
    "names": drawn.as_nested_names(DRAWN),
    "children": drawn.as_children(DRAWN),
    "parents": drawn.as_parents(DRAWN),
    "records": drawn.as_records(DRAWN),
}


def read(text: str, name: str = "t.txt", taxonomy_format: str = "auto") -> Taxonomy:
    return from_bytes(text.encode(), name, taxonomy_format)


@pytest.mark.parametrize("text", [*_EDGES.values(), *_TREES.values()], ids=[*_EDGES, *_TREES])
def test_each_format_gives_the_drawn_graph(text):
    taxonomy = read(text)
    assert sorted(taxonomy.leaf_ids) == sorted(LEAVES)
    assert ancestors_of(taxonomy) == {
        "poodle": {"dog", "mammal", "animal"},
        "cat": {"mammal", "animal"},
        "wren": {"bird", "animal"},
        "rose": {"plant"},
    }
    assert taxonomy.levels == ("0", "1", "2", "3")
    ordered = taxonomy.with_leaves([taxonomy.index[leaf] for leaf in LEAVES])
    assert at(ordered, "1") == [{"dog"}, {"mammal"}, {"bird"}, {"plant"}]
    assert at(ordered, "depth:0") == [{"animal"}, {"animal"}, {"animal"}, {"plant"}]


def _graph(seed: int, *, is_tree: bool) -> drawn.Parents:
    """Up to 40 classes, each below one earlier class, or of a DAG below up to three."""
    draw = random.Random(seed)
    names = [f"class {n}, 'x' {draw.choice('aäß')}" for n in range(draw.randint(6, 40))]
    parents: dict[str, tuple[str, ...]] = {names[0]: (), names[1]: (names[0],)}
    for n, name in enumerate(names[2:], start=2):
        most = 1 if is_tree else min(3, n)
        parents[name] = tuple(draw.sample(names[:n], draw.randint(1, most)))
    if draw.random() < 0.5:
        parents |= {"top": (), "below top": ("top",)}
    return parents


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_of_a_graph_is_read_back(seed):
    """Leaves and ancestors of random trees and DAGs survive each format that can hold them."""
    for is_tree in (True, False):
        parents = _graph(seed, is_tree=is_tree)
        quoted = {f'"{node}"': [f'"{up}"' for up in above] for node, above in parents.items()}
        texts = [
            as_edge_list(quoted),
            as_edge_list(quoted, ";", header="child,parent", root='""'),
            drawn.as_children(parents),
            drawn.as_records(parents),
        ]
        if is_tree:
            nested = (drawn.as_newick, drawn.as_nested_nodes, drawn.as_nested_names)
            texts += [write(parents) for write in (*nested, drawn.as_parents)]
        for text in texts:
            assert ancestors_of(read(text)) == expected(parents), text


def test_a_table_of_levels_is_still_one():
    taxonomy = read("species,kind\nwren,bird\nrobin,bird\ncod,fish\n", "t.csv")
    assert taxonomy.levels == ("species", "kind")
    assert taxonomy.leaf_ids == ("bird/wren", "bird/robin", "fish/cod")
    for text in ("class\na\nb\n", "parent,child,grandparent\na,b,c\nd,e,c\n"):
        assert read(text, "t.csv").level_kind == "rank"


def test_a_column_of_two_words_is_no_edge_list_where_it_is_a_csv():
    names = "name\nblue whale\nwhale shark\n"
    assert read(names, "t.csv").leaf_ids == ("blue whale", "whale shark")
    assert read(names.replace("name", "common name"), "t.csv").num_leaves == 2
    assert read("parent child\n" + names[5:], "t.csv").leaf_ids == ("shark",)
    assert read(names[5:], "t.csv", "parent_child").leaf_ids == ("shark",)


def test_names_in_both_columns_make_edges_and_the_log_says_so(caplog):
    caplog.set_level(logging.INFO)
    assert set(read("breed,kind\npoodle,dog\ndog,mammal\ncat,mammal\n").leaf_ids) == {
        "poodle",
        "cat",
    }
    assert "t.txt: read as edges (child,parent: each name of the first column has" in caplog.text
    assert "below the header ['breed', 'kind']" in caplog.text
    assert "--taxonomy_format=levels: 4 classes, 2 of them leaves, 1 without" in caplog.text


def test_one_name_in_both_columns_leaves_a_table_of_levels_with_a_warning(caplog):
    table = "species,kind\nlion,cat\ncat,pet\ndog,pet\nrose,plant\noak,tree\n"
    assert read(table).levels == ("species", "kind")
    assert "1 names stand in both columns, such as ['cat']" in caplog.text
    assert "give --taxonomy_format=edges" in caplog.text
    assert read(table, taxonomy_format="edges").max_hops == 2


def test_a_graph_tells_its_direction_by_how_few_have_several_parents():
    """WordNet's hypernyms, 498 of whose 23,542 synsets have several, both ways round."""
    wordnet = read_wordnet()
    ids = wordnet.node_ids
    pairs = [(ids[up], ids[node]) for up, node in wordnet.edges.tolist()]
    random.Random(0).shuffle(pairs)
    for text in (
        "".join(f"{up} {node}\n" for up, node in pairs),
        "".join(f"{node},{up}\n" for up, node in pairs),
    ):
        taxonomy = read(text, "wordnet.is_a.txt")
        dog = taxonomy.index["n02084071"]
        found = {taxonomy.names[node] for node in taxonomy.labels_of(dog, "hops:1")}
        assert found == {"canine, canid", "domestic animal, domesticated animal"}
        assert (len(taxonomy.node_ids), taxonomy.num_leaves) == (23543, 17250)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\nb,c\n",
            "which column is the parent's cannot be told.*=parent_child .or child_par",
        ),
        ("a c\nb c\nc e\nc f\n", "which column is the parent's cannot be told"),
        ("n02084071\tdog\nn02121808\tcat\n", "no name stands in two rows, as where ids have"),
        ("group,member\na,b\na,c\n", "has two parents.*row parent,child .*format=edges"),
        ("parent,child\na,b\nb,a\n", "read as edges .*the taxonomy has a cycle: "),
        ("parent,child\na,b\nb,\n", r"row 3: expected 2 cells with a class in the second.*'b', ''"),
        ("parent,child\na,b\nc\n", r"row 3: expected 2 cells"),
        ("parent,child\n", "no edges below its header"),
        ("parent,child\n,a\n,b\n", "no class stands above another"),
        ("", "nothing is in it"),
        ("((a,b)c,d;", "brackets that are not closed: 1; if the file was cut off"),
        ("(a,b)c);", r"'\)' closes nothing, at character 7: '\(a,b\)c\);'"),
        ("(a,b)c;(d,e)f;", "a second tree begins"),
        ("(a(b,c),d);", r"a comma is missing before '\('"),
        ("(a,,b);", "leaves without a name: 1"),
        ("(a,'b);", "a quote, .* is not closed"),
        ("(a,a)b;", "'a' stands twice below 'b'"),
        ('{"a": 3}', "no class stands above another"),
        ('{"n01": "dog", "n02": "cat"}', "a text of its own, as where ids have names"),
        ('{"a": {"b": true}}', "no hierarchy that is known: True"),
        ('{"name": "a", "children": [{"x": 1}]}', r"a class without a name: \{'x': 1\}"),
        ('[["a"]]', "no hierarchy that is known"),
        ("{}", "no classes in it"),
        ('{"a": {"b": ', "not JSON"),
        ('{"a":' * 100_000, "brackets within brackets.* as an edge list"),
    ],
)
def test_what_holds_no_hierarchy_is_told_in_one_line(text, message):
    with pytest.raises(TaxonomyError, match=message) as error:
        read(text)
    assert str(error.value).startswith("t.txt: ") and "\n" not in str(error.value)


def test_the_remedies_work():
    for order, leaf in (("parent_child", "c"), ("child_parent", "a")):
        assert read("a,b\nb,c\n", taxonomy_format=order).leaf_ids == (leaf,)
    assert read("parent,child\na,b\nb,c\n").leaf_ids == ("c",)
    assert read("group,member\na,b\na,c\n", taxonomy_format="edges").leaf_ids == ("b", "c")
    assert read("parent,child\ngroup,member\na,b\na,c\n").num_leaves == 3


def test_a_format_that_is_asked_for(tmp_path):
    path = tmp_path / "tree.dat"
    path.write_text("(a,b)c;")
    assert read_taxonomy_file(path, "newick").leaf_ids == ("a", "b")
    with pytest.raises(UsageError, match="unknown taxonomy_format 'edge'; did you mean 'edges'"):
        read_taxonomy_file(path, "edge")
    with pytest.raises(UsageError, match="goes with a file; got --taxonomy=imagenet21k"):
        open_taxonomy("imagenet21k", taxonomy_format="edges")
    assert "edges" in FORMATS and open_taxonomy(str(path)).leaf_ids == ("a", "b")


def test_names_ranks_and_parents_of_a_table_of_taxa(caplog):
    caplog.set_level(logging.INFO)
    table = (
        "taxonID,acceptedBy,parentNameUsageID,scientificName,taxonRank\n"
        "1,x,,Animalia,kingdom\n2,x,1,Aves,class\n3,x,2,Troglodytes,genus\n"
        "4,x,3,Troglodytes troglodytes,species\n5,x,2,unplaced,species\n6,x,5,sub,clade\n"
        "7,x,6,deeper,clade\n"
    )
    taxonomy = read(table, "taxa.csv")
    assert taxonomy.leaf_ids == ("4", "7")
    assert (taxonomy.levels, taxonomy.level_kind) == (
        ("species", "genus", "class", "kingdom"),  # 'clade' stands above itself: no level
        "ragged",
    )
    assert at(taxonomy, "genus") == [{"Troglodytes"}, {"unplaced"}]
    assert at(taxonomy, "class") == [{"Aves"}, {"Aves"}]


def test_ids_names_and_ranks_of_nodes_and_one_node_in_two_places():
    dog = {"id": "n1", "name": "dog", "rank": "species"}
    content = [
        {"id": "n2", "name": "canine", "rank": "group", "children": [dog]},
        {"id": "n3", "name": "pet", "rank": "group", "children": [dog, {"name": "cat"}]},
    ]
    taxonomy = read(json.dumps(content))
    assert ancestors_of(taxonomy) == {"n1": {"n2", "n3"}, "cat": {"n3"}}
    assert at(taxonomy, "group") == [{"canine", "pet"}, {"pet"}]
    assert taxonomy.level_kind == "ragged" and at(taxonomy, "species") == [{"dog"}, {"cat"}]


def test_lists_of_leaves_and_numbers_within_names():
    text = '{"animal": {"bird": ["wren", "robin"], "dog": 7, "cat": null, "ape": {}}, "rock": []}'
    assert read(text).leaf_ids == ("wren", "robin", "dog", "cat", "ape", "rock")


def test_names_that_repeat_are_qualified_by_their_path():
    taxonomy = read('{"Ericaceae": {"Pieris": ["a"]}, "Pieridae": {"Pieris": ["b"]}}')
    assert ancestors_of(taxonomy) == {
        "a": {"Ericaceae/Pieris", "Ericaceae"},
        "b": {"Pieridae/Pieris", "Pieridae"},
    }
    assert at(taxonomy, "1") == [{"Pieris"}, {"Pieris"}]


def test_newick_as_programs_write_it(caplog):
    caplog.set_level(logging.INFO)
    text = "[&R] ((Homo_sapiens:0.1,'Pan (chimp)''s':1e-3[&x={1,[2]}])0.95:2, Mus  musculus)\n1;\n"
    taxonomy = read(text, "t.nwk")
    assert taxonomy.leaf_ids == ("Homo_sapiens", "Pan (chimp)'s", "Mus musculus")
    assert "2 support values such as 1 are passed over" in caplog.text
    assert "the root without a name joins the others and is no class" in caplog.text
    apes = taxonomy.index["inner:2"]
    assert taxonomy.names[apes] == "Homo_sapiens … Pan (chimp)'s"
    with pytest.raises(TaxonomyError, match="is NEXUS; write the tree alone"):
        read("#NEXUS\nbegin trees;", "t.tree")


@pytest.mark.parametrize("form", ["newick", "edges"])
def test_a_tree_of_any_depth(form):
    depth = 30_000
    if form == "newick":
        text = "(" * depth + "leaf" + "".join(f")n{n}" for n in range(depth)) + ";"
    else:
        text = "child,parent\nleaf,n0\n" + "".join(f"n{n - 1},n{n}\n" for n in range(1, depth))
    began = time.process_time()
    taxonomy = read(text)
    assert taxonomy.max_hops == taxonomy.max_depth == depth
    assert len(taxonomy.levels) == 101  # the others are reached by number
    assert at(taxonomy, "hops:20000") == [{"n19999"}]
    assert at(taxonomy, "depth:1") == [{f"n{depth - 2}"}]
    assert time.process_time() - began < 5


def test_a_hundred_thousand_edges_take_about_a_second():
    draw = random.Random(0)
    text = "".join(
        f"class number {draw.randrange(n // 20, n)}\tclass number {n}\n" for n in range(1, 100_001)
    )
    began = time.process_time()
    taxonomy = read(text, "t.tsv")
    assert time.process_time() - began < 4  # 1.1 s where nothing else runs
    assert len(taxonomy.node_ids) == 100_001
