"""imagenet21k by rule: classes of enough images, the first of each held out, as ImageNet-21K-P."""

from __future__ import annotations

import json
import pathlib
import pickle
import subprocess

import pytest
import tensorflow_datasets as tfds

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets import leveled_names
from fine2coarse.datasets.imagenet21k import Imagenet21k
from fine2coarse.datasets.imagenet21k_subsets import (
    IMAGENET21K_P,
    RELEASES,
    Subset,
    parse_config_name,
    subset_of,
)
from fine2coarse.datasets.leveled import PreparationRefused, PrepareConfig
from fine2coarse.datasets.open import open_dataset
from fine2coarse.datasets.preparation_claim import claim_name
from fine2coarse.datasets.preparing import summary_text
from fine2coarse.errors import UsageError
from fine2coarse.preparation import engine, spill
from fine2coarse.preparation.comparison import Comparison
from fine2coarse.preparation.preparation_report import Report, read_report
from fine2coarse.preparation.shards import Plan
from tests.datasets import fakes

SIZES = {"n01443537": 3, "n02084071": 6, "n02085620": 12, "n02113335": 5}
"""Images of goldfish, dog, chihuahua, poodle; one of the six dogs is no image."""


def archive_files(without: str = "") -> dict[str, dict[str, bytes]]:
    """Files of the synsets, numbered from 1 on, so that names sort otherwise than numbers."""
    files = {
        synset: {
            f"{synset}_{number}.JPEG": fakes.jpeg(100 * place + number)
            for number in range(1, count + 1)
        }
        for place, (synset, count) in enumerate(SIZES.items())
    }
    files["n02084071"]["n02084071_6.JPEG"] = b"no image"
    files.pop(without, None)
    return files


def prepare(manual_dir, data_dir, config, **settings) -> Imagenet21k:
    builder = Imagenet21k(config=config, data_dir=data_dir)
    builder.download_and_prepare(
        download_config=PrepareConfig(manual_dir=manual_dir, **settings),
    )
    return builder


def ids_of(builder, split: str) -> dict[str, int]:
    """Image id → stored leaf label."""
    dataset = builder.as_dataset(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    return {
        example["image_id"].decode(): int(example["label"])
        for example in dataset.as_numpy_iterator()
    }


@pytest.fixture(scope="module")
def manual(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("manual")
    fakes.whole_tar(folder, archive_files())
    return folder


def test_names_of_rules():
    of_21k_p = Subset("present", 501, 50)
    assert parse_config_name("21k_p_level3") == (of_21k_p, 3)
    assert subset_of({"subset": "21k_p"}) == of_21k_p
    assert of_21k_p.config_name() == "21k_p_level0"
    for name in ("level0", "present_level12", "min7_level1", "val3_level0", "present_val3_level0"):
        subset, hops = parse_config_name(name)
        assert subset.config_name(hops) == name
    # no such level; no folder has two names; K is not below N
    for name in ("level13", "min501_val50_level0", "present_min7_level0", "min3_val3_level0", "x"):
        assert parse_config_name(name) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leaves": "some"}, r"leaves is one of \['all', 'present'\]"),
        ({"subset": "21k"}, "unknown subset '21k'; did you mean '21k_p'"),
        ({"min_images_per_class": 0}, "must be at least 1, got 0"),
        ({"min_images_per_class": 5, "leaves": "all"}, "leaves='all' keeps them"),
        ({"min_images_per_class": 5, "num_validation_per_class": 5}, "none to train on"),
        ({"subset": "21k_p", "num_validation_per_class": 5}, "got 5 too; leave subset out"),
    ],
)
def test_rules_that_contradict_themselves(options, message):
    with pytest.raises(UsageError, match=message):
        subset_of(options)


def test_the_rule_as_flags():
    with_class_rule = leveled_names.with_class_rule
    assert with_class_rule("imagenet21k", None, None) == "imagenet21k"
    assert with_class_rule("imagenet21k/level2", 100, 20) == "imagenet21k/min100_val20_level2"
    assert with_class_rule("imagenet21k", 501, 50) == "imagenet21k/21k_p_level0"
    assert with_class_rule("imagenet21k/present_level0", None, 5) == (
        "imagenet21k/present_val5_level0"
    )


def test_classes_and_images_of_a_rule(manual, tmp_path):
    builder = prepare(manual, tmp_path, "min5_val2_level0")
    assert builder.data_dir.endswith("imagenet21k/min5_val2_level0/2.0.0")
    leaves = ("n02084071", "n02085620", "n02113335")
    assert builder.taxonomy.leaf_ids == leaves
    label = builder.info.features["label"]
    assert label.names == [builder.taxonomy.names[node] for node in builder.taxonomy.leaf_nodes]
    # the first two names of each class in the order of their bytes: 1, 10, 11, 12, 2, …
    assert ids_of(builder, "validation") == {
        "n02084071_1.JPEG": 0,
        "n02084071_2.JPEG": 0,
        "n02085620_1.JPEG": 1,
        "n02085620_10.JPEG": 1,
        "n02113335_1.JPEG": 2,
        "n02113335_2.JPEG": 2,
    }
    train = ids_of(builder, "train")
    assert len(train) == 3 + 10 + 3
    assert all(name.startswith(leaves[leaf]) for name, leaf in train.items())
    assert fakes.skipped(builder.data_dir) == {
        "n01443537": "class of too few images",
        "n02084071.tar/n02084071_6.JPEG": "not an image",
    }
    report = builder.report()
    assert report.skipped == {"class of too few images": 3, "not an image": 1}
    assert (report.num_files, report.num_classes, report.classes_seen) == (26, 3, 3)
    again = tfds.builder_from_directory(builder.data_dir)  # TFDS's own way, without our code
    assert again.info.features["label"].num_classes == 3
    view = Imagenet21k(config="min5_val2_level3", data_dir=tmp_path)
    assert view.data_dir == builder.data_dir
    assert view.taxonomy.fingerprint == builder.taxonomy.fingerprint
    dogs = {"n02083346", "n01317541"}  # a dog is a canine and a domestic animal
    parents = Imagenet21k(config="min5_val2_level1", data_dir=tmp_path)
    names = parents.info.features["label"].names
    seen = {
        tuple(sorted(names[row] for row in example["label"] if row >= 0))
        for example in parents.as_dataset(split="train").as_numpy_iterator()
        if example["image_id"].startswith(b"n02084071_")
    }
    again = pickle.loads(pickle.dumps(parents))
    assert again.info.features["label"].names == names
    taxonomy = builder.taxonomy
    assert seen == {tuple(sorted(taxonomy.names[taxonomy.node_ids.index(dog)] for dog in dogs))}


def test_what_is_left_is_as_if_the_others_had_never_been_there(manual, tmp_path):
    """Labels are numbered anew inside the stored examples, to the byte."""
    fakes.whole_tar(tmp_path / "fewer", archive_files(without="n01443537"))
    ours = prepare(manual, tmp_path / "a", "min5_level0", num_validation=4)
    theirs = prepare(tmp_path / "fewer", tmp_path / "b", "present_level0", num_validation=4)
    reports = {"preparation.json", "skipped.csv", "source.json", "dataset_info.json"}
    found, expected = (fakes.content_of(builder.data_dir) for builder in (ours, theirs))
    assert found.keys() == expected.keys()
    assert {name: data for name, data in found.items() if name not in reports} == {
        name: data for name, data in expected.items() if name not in reports
    }
    assert ours.taxonomy.fingerprint == theirs.taxonomy.fingerprint


def test_array_record(manual, tmp_path):
    builder = Imagenet21k(config="min5_val2_level0", data_dir=tmp_path)
    config = PrepareConfig(manual_dir=manual)
    builder.download_and_prepare(download_config=config, file_format="array_record")
    labels = {
        example["image_id"].decode()[:9]: int(example["label"])
        for example in builder.as_data_source("train")
    }
    assert labels == {"n02084071": 0, "n02085620": 1, "n02113335": 2}


SCRIPT = """
cd {root}; mkdir val small
for c in n*; do
  if [ "$(ls $c/*.JPEG | wc -l)" -gt "{more_than}" ]; then
    mkdir val/$c
    for j in $(ls $c/*.JPEG | head -n {first}); do mv $j val/$c/; done
  else mv $c small/; fi
done
"""


def test_the_same_images_as_by_the_published_script(tmp_path):
    """Its steps, in the shell: count *.JPEG, keep what has more, move the first that ls names."""
    folder = tmp_path / "by_script"
    files = archive_files()
    files["n02084071"]["n02084071_6.JPEG"] = fakes.jpeg(999)  # it would count what is no image
    for synset, of_synset in files.items():
        (folder / synset).mkdir(parents=True)
        for name, data in of_synset.items():
            (folder / synset / name).write_bytes(data)
    script = SCRIPT.format(root=folder, more_than=4, first=2)
    subprocess.run(["bash", "-c", script], check=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})
    fakes.whole_tar(tmp_path / "manual", files)
    builder = prepare(tmp_path / "manual", tmp_path / "data", "min5_val2_level0")
    names = {
        split: sorted(path.name for path in folder.glob(f"{below}/*.JPEG"))
        for split, below in (("train", "n*"), ("validation", "val/n*"))
    }
    assert sorted(ids_of(builder, "train")) == names["train"]
    assert sorted(ids_of(builder, "validation")) == names["validation"]
    # and its folders give the same again
    again = prepare(folder, tmp_path / "again", "min5_val2_level0")
    assert ids_of(again, "validation") == ids_of(builder, "validation")


def test_each_class_keeps_an_image_to_train_on(tmp_path):
    files = {"n01443537": fakes.synset_files("n01443537", 1)}
    files["n02084071"] = fakes.synset_files("n02084071", 3, 50)
    fakes.whole_tar(tmp_path / "manual", files)
    builder = prepare(tmp_path / "manual", tmp_path / "data", "present_val9_level0")
    assert ids_of(builder, "train") == {"n01443537_0.JPEG": 0, "n02084071_2.JPEG": 1}
    assert ids_of(builder, "validation") == {"n02084071_0.JPEG": 1, "n02084071_1.JPEG": 1}


def test_a_rule_that_no_class_meets(manual, tmp_path):
    with pytest.raises(SourceError, match=r"no class has 13 .* n02085620 has most, 12.*delete"):
        prepare(manual, tmp_path, "min13_level0")
    assert len(prepare(manual, tmp_path, "min12_level0").taxonomy.leaf_ids) == 1


def test_killed_it_goes_on_and_reads_no_image_again(manual, tmp_path, monkeypatch):
    whole = prepare(manual, tmp_path / "whole", "min5_val2_level0")
    checked = []
    original = spill.check_image
    monkeypatch.setattr(spill, "check_image", lambda data: checked.append(1) or original(data))

    def fail(task):
        raise RuntimeError("stopped here")

    with monkeypatch.context() as stopped:
        stopped.setattr(engine, "write_shard", fail)
        with pytest.raises(RuntimeError, match="stopped here"):
            prepare(manual, tmp_path / "data", "min5_val2_level0")
    staging = tmp_path / "data/imagenet21k/min5_val2_level0/2.0.0.preparing"
    other = tmp_path / "data/imagenet21k/min4_val2_level0/2.0.0.preparing"
    other.parent.mkdir()
    staging.rename(other)
    with pytest.raises(PreparationRefused, match=r"another min_images_per_class: it had \[5\]"):
        prepare(manual, tmp_path / "data", "min4_val2_level0")
    other.rename(staging)
    builder = prepare(manual, tmp_path / "data", "min5_val2_level0")
    assert len(checked) == 26, "once each, by counting and by both runs"
    assert fakes.content_of(builder.data_dir) == fakes.content_of(whole.data_dir)


def test_images_held_out_in_two_ways(manual, tmp_path):
    with pytest.raises(UsageError, match=r"2 images of each class.*num_validation=3 of all images"):
        prepare(manual, tmp_path, "min5_val2_level0", num_validation=3)
    prepare(manual, tmp_path, "min5_val2_level0")
    with pytest.raises(UsageError, match="leave one of the two out"):
        prepare(manual, tmp_path, "min5_val2_level0", num_validation=3)


def test_options_of_a_recipe(manual, tmp_path):
    options = {"min_images_per_class": 5, "num_validation_per_class": 1, "leaves": "present"}
    dataset = open_dataset("imagenet21k", {**options, "manual_dir": str(manual)}, str(tmp_path))
    assert dataset.splits == {"train": 19, "validation": 3}
    assert dataset.taxonomy.num_leaves == 3
    index = dataset.index("train")  # as written beside the records
    assert dict(zip(index.image_ids, index.labels.tolist())) == ids_of(dataset.builder, "train")
    whole = open_dataset("imagenet21k", {"manual_dir": str(manual)}, str(tmp_path))
    assert whole.taxonomy.num_leaves == 21843
    assert whole.fingerprint != dataset.fingerprint
    numbers = {"min_images_per_class": 501, "num_validation_per_class": 50}
    assert claim_name("imagenet21k", numbers) == claim_name("imagenet21k", {"subset": "21k_p"})
    assert claim_name("imagenet21k", options) != claim_name("imagenet21k", {"leaves": "present"})


def test_beside_what_is_published():
    """Of an archive that is whole, and of one that lacks a few images."""
    builder = Imagenet21k(config="21k_p_level0", data_dir="/nowhere")
    splits = {"train": 11_797_630, "validation": 561_050}
    report = Report("tar", 14_197_122, splits, 11_221, 11_221, {}, {}, 0, 0)
    told = {
        comparison.name: comparison.sentence()
        for comparison in builder._compare(report, Plan({}, (), (), num_classes_found=21_841))
    }
    assert told == {
        "fall11": "published 14,197,122 images of 21,841 classes, here 14,197,122 of 21,841: as "
        "published",
        "winter21": "published 13,153,500 images of 19,167 classes, here 14,197,122 of 21,841: "
        "1,043,622 images and 2,674 classes more",
        "21K-P, fall11": "published 11,797,632 + 561,052 images of 11,221 classes, here "
        "11,797,630 + 561,050 of 11,221: 4 images fewer",
        "21K-P, winter21": "published 11,060,223 + 522,500 images of 10,450 classes, here "
        "11,797,630 + 561,050 of 11,221: 775,957 images and 771 classes more",
    }


def test_sentences_of_comparisons():
    assert Comparison("x", (5, 2), 3, (4, 3), 3).sentence().endswith("as many, divided otherwise")
    assert Comparison("x", (5,), 3, (6,), 2).sentence().endswith("1 image more, 1 class fewer")


def test_published_counts_agree_with_the_rule_where_they_can():
    """Each class holds out 50: so of winter21; of fall11, two fewer than is published."""
    published = {item.name: item for item in (*RELEASES, *IMAGENET21K_P)}
    assert published["21K-P, winter21"].images[1] == 50 * 10_450
    assert published["21K-P, fall11"].images[1] == 50 * 11_221 + 2


def test_the_summary_and_the_stored_report(manual, tmp_path):
    builder = prepare(manual, tmp_path, "min5_val2_level0")
    stored = json.loads((pathlib.Path(builder.data_dir) / "preparation.json").read_text("utf-8"))
    assert stored["compared"][0] == {
        "name": "fall11",
        "published_images": [14_197_122],
        "published_classes": 21_841,
        "images": [26],
        "classes": 4,
    }
    found = read_report(builder.data_dir)
    assert [comparison.name for comparison in found.compared] == ["fall11", "winter21"]
    head = {"dataset": "d", "folder": "f", "seconds": 1.0}
    lines = summary_text({**head, **stored}).splitlines()
    assert lines[2:4] == [
        "compared    fall11: published 14,197,122 images of 21,841 classes, here 26 of 4: "
        "14,197,096 images and 21,837 classes fewer",
        "            winter21: published 13,153,500 images of 19,167 classes, here 26 of 4: "
        "13,153,474 images and 19,163 classes fewer",
    ]
