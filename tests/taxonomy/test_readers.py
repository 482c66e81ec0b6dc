"""WordNet's and iNaturalist's hierarchies against published numbers."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from fine2coarse.taxonomy import TaxonomyError, read_inat2021, read_wordnet, wordnet
from fine2coarse.taxonomy.inat2021 import LEVEL_SIZES, LEVELS, from_categories
from fine2coarse.taxonomy.summary import summarize_level

_DATA_NOUN = pathlib.Path("/usr/share/wordnet/data.noun")

DATA_NOUN = """\
  1 The licence stands here.
00001740 03 n 01 entity 0 002 ~ 00001930 n 0000 ~ 00002137 n 0000 | all there is
00001930 03 n 02 thing_that_lives 0 life 1 002 @ 00001740 n 0000 + 00000001 v 0101 | "a | b"
00002137 03 n 01 Rex 0 003 @i 00001930 n 0000 @ 00001740 n 0000 @ 00001930 n 0000 | a dog
"""


@pytest.fixture(scope="module")
def imagenet21k():
    return read_wordnet()


def test_published_class_counts(imagenet21k):
    """Hong et al., arXiv 2303.16887: table of ImageNet-21k's levels."""
    counts = [summarize_level(imagenet21k, str(level)).num_classes for level in range(13)]
    assert counts[:5] == [21843, 5995, 2281, 1038, 519]
    assert counts[5:] == [285, 160, 92, 58, 38, 26, 19, 13]
    assert summarize_level(imagenet21k, "1").multi_label_leaves == 453


def test_the_table_has_the_synsets_of_the_literature(imagenet21k, shared_data):
    synsets = wordnet.read_synset_list(shared_data / "imagenet21k_synsets.txt")
    assert tuple(synsets) == imagenet21k.leaf_ids == wordnet.imagenet21k_synsets()


def test_loading_and_all_levels_take_less_than_a_second_of_cpu():
    began = time.process_time()
    taxonomy = read_wordnet()
    for level in taxonomy.levels:
        taxonomy.ancestors_at(level)
    assert time.process_time() - began < 1


def test_dogs_are_canines_and_domestic_animals(imagenet21k):
    dog = imagenet21k.index["n02084071"]
    names = {imagenet21k.names[node] for node in imagenet21k.labels_of(dog, "1")}
    assert names == {"canine, canid", "domestic animal, domesticated animal"}
    assert len(imagenet21k.paths(dog)) == 2


def test_reading_data_noun(tmp_path):
    path = tmp_path / "data.noun"
    path.write_text(DATA_NOUN)
    nouns = wordnet.read_data_noun(path)
    assert nouns["n00001930"] == (("n00001740",), ("thing that lives", "life"))
    assert nouns["n00002137"] == (("n00001740", "n00001930"), ("Rex",))  # @ only, not @i
    path.write_text(DATA_NOUN + "nonsense\n")
    with pytest.raises(TaxonomyError, match=r"not a line of .*: 'nonsense'"):
        wordnet.read_data_noun(path)


@pytest.mark.skipif(not _DATA_NOUN.is_file(), reason="Debian's wordnet-base is not installed")
def test_the_table_is_what_debians_wordnet_gives():
    text = wordnet.format_table(wordnet.imagenet21k_synsets(), wordnet.read_data_noun(_DATA_NOUN))
    assert text == wordnet.TABLE_PATH.read_text(encoding="utf-8")


def test_the_licence_goes_with_the_table():
    text = (wordnet.TABLE_PATH.parent / "LICENSE.txt").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in text


def test_wrong_synsets_are_named(tmp_path):
    with pytest.raises(TaxonomyError, match=r"1 synset ids are unknown, such as \['n99999999'\]"):
        read_wordnet(["n02084071", "n99999999"])
    path = tmp_path / "ids.txt"
    path.write_text("n02084071\n\n02084071\n")
    with pytest.raises(TaxonomyError, match="line 3: expected an id like"):
        wordnet.read_synset_list(path)
    path.write_text("n02084071\nn02084071 # dog\n")
    with pytest.raises(TaxonomyError, match="line 2: n02084071 repeats line 1"):
        wordnet.read_synset_list(path)


def test_inat2021s_counts(shared_data):
    taxonomy = read_inat2021(shared_data / "inat2021" / "categories.csv")
    summaries = {level: summarize_level(taxonomy, level) for level in LEVELS}
    assert {level: summary.num_classes for level, summary in summaries.items()} == {
        "kingdom": 3, "supercategory": 11, "phylum": 13, "class": 51, "order": 273,
        "family": 1103, "genus": 4900, "species": 10000,
    }  # fmt: skip
    assert {level: s.num_classes for level, s in summaries.items()} == LEVEL_SIZES
    assert summaries["genus"].num_names == 4884
    assert all(summary.max_labels == 1 for summary in summaries.values())


def row(category_id, **changes) -> dict:
    ranks = ("kingdom", "phylum", "class", "order", "family", "genus", "supercategory")
    values = {"id": category_id, "name": f"s{category_id}", **{rank: rank for rank in ranks}}
    return {**values, **changes}


def test_inat2021_reads_the_competitions_json(tmp_path):
    path = tmp_path / "val.json"
    records = [row(7, genus="Pieris", family="a"), row(2, genus="Pieris", family="b")]
    path.write_text(json.dumps({"categories": records, "images": [{"latitude": float("nan")}]}))
    taxonomy = read_inat2021(path)
    names = [taxonomy.names[node] for node in taxonomy.leaf_nodes]
    assert names == ["s2", "s7"]  # by id, not by position
    assert summarize_level(taxonomy, "genus").num_classes == 2
    assert summarize_level(taxonomy, "genus").num_names == 1


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no categories"),
        ([row(0), row(0)], "category id 0 repeats"),
        ([row(0, genus="")], "category 0: expected a genus"),
        ([row(0, name="a/b")], "expected a name without '/'"),
        ([{"name": "x"}], "without a numeric id"),
        ([row(0, name="same"), row(1, name="same")], "stands there twice"),
    ],
)
def test_wrong_categories_are_named(records, message):
    with pytest.raises(TaxonomyError, match=message):
        from_categories(records)
