"""Parquet files as Hugging Face has them: columns found or named, rows accounted for."""

from __future__ import annotations

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fine2coarse.archives.entries import SourceError
from fine2coarse.datasets.label_levels import levels_of_labels
from fine2coarse.datasets.open import open_dataset, survey_unprepared
from fine2coarse.datasets.parquet import ParquetReader
from fine2coarse.datasets.shard_files import ShardsError
from fine2coarse.errors import UsageError
from fine2coarse.preparation import file_batches
from fine2coarse.taxonomy import TaxonomyError
from tests.datasets import fakes

FINE = ("goldfish", "dog", "chihuahua", "poodle")
COARSE = ("fish", "mammal")
PARENTS = (0, 1, 1, 1)


def features(classes: Mapping[str, Sequence[str]]) -> dict[bytes, bytes]:
    """The description of columns that Hugging Face's `datasets` writes."""
    content = {
        name: {"names": list(names), "_type": "ClassLabel"} for name, names in classes.items()
    }
    content = {"image": {"_type": "Image"}, **content}
    return {b"huggingface": json.dumps({"info": {"features": content}}).encode()}


def write(
    path: pathlib.Path,
    columns: Mapping[str, Sequence[object]],
    classes: Mapping[str, Sequence[str]] | None = None,
    rows_per_group: int = 5,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(columns))
    if classes is not None:
        table = table.replace_schema_metadata(features(classes))
    pq.write_table(table, path, row_group_size=rows_per_group)


def images(first: int, count: int) -> list[dict[str, object]]:
    """Hugging Face's structs of an image."""
    return [
        {"bytes": fakes.jpeg(number), "path": f"{number}.jpg"}
        for number in range(first, first + count)
    ]


def cifar_columns(first: int, count: int) -> dict[str, list[object]]:
    fine = [number % 4 for number in range(first, first + count)]
    coarse = [PARENTS[label] for label in fine]
    return {"image": images(first, count), "fine_label": fine, "coarse_label": coarse}


CLASSES = {"fine_label": FINE, "coarse_label": COARSE}
BOTH = ("fine_label", "coarse_label")


@pytest.fixture
def files(tmp_path) -> pathlib.Path:
    """Two files of twelve images to train on, one of four to test on."""
    root = tmp_path / "cifar"
    for number in range(2):
        name = f"data/train-{number:05d}-of-00002.parquet"
        write(root / name, cifar_columns(12 * number, 12), CLASSES)
    write(root / "data/test-00000-of-00001.parquet", cifar_columns(24, 4), CLASSES)
    (root / "README.md").write_text("about")
    return root


def opened(source: pathlib.Path | str, tmp_path: pathlib.Path, **options):
    return open_dataset("parquet", {"source": str(source), **options}, str(tmp_path / "data"))


def rows(dataset, split: str = "train") -> dict[str, tuple[int, bytes]]:
    """Image id → label and bytes."""
    examples = dataset.read(split).as_numpy_iterator()
    return {one["image_id"].decode(): (int(one["label"]), one["image"]) for one in examples}


def leaf_names(dataset) -> list[str]:
    return [dataset.taxonomy.names[node] for node in dataset.taxonomy.leaf_nodes]


def skipped(dataset) -> dict[str, str]:
    return fakes.skipped(dataset.builder.data_dir)


def test_labels_nest_and_have_the_names_of_the_metadata(files, tmp_path, told):
    dataset = opened(files, tmp_path, label_columns=BOTH)
    assert dataset.splits == {"test": 4, "train": 24}
    assert "3 Parquet files: 28 files, 4 to test, 24 to train" in told()
    assert dataset.taxonomy.levels == BOTH
    assert leaf_names(dataset) == list(FINE)
    coarse = dataset.taxonomy.ancestors_at("coarse_label")
    assert [dataset.taxonomy.names[node] for (node,) in coarse] == [
        "fish", "mammal", "mammal", "mammal"
    ]  # fmt: skip
    # The file's name, the row's number: of row 2 of the second file the label is 14 % 4.
    assert rows(dataset)["data/train-00001-of-00002.parquet/000002"] == (2, fakes.jpeg(14))
    assert skipped(dataset) == {}


def test_one_column_is_a_flat_list_and_bytes_need_no_struct(tmp_path):
    data = [fakes.jpeg(number) for number in range(4)]
    write(tmp_path / "f/train.parquet", {"img": data, "label": ["cat", "dog", "cat", "ant"]})
    dataset = opened(tmp_path / "f", tmp_path)
    assert dataset.taxonomy.levels == ("label",)
    assert leaf_names(dataset) == ["ant", "cat", "dog"]
    assert rows(dataset)["train.parquet/000003"] == (0, fakes.jpeg(3))


def test_classes_rename_the_integers_and_wordnet_stands_above_them(files, tmp_path):
    (tmp_path / "synsets.txt").write_text("\n".join(fakes.SYNSETS))
    options = {"classes": str(tmp_path / "synsets.txt"), "taxonomy": "wordnet"}
    dataset = opened(files, tmp_path, label_columns=("fine_label",), **options)
    assert dataset.taxonomy.leaf_ids == fakes.SYNSETS
    (tmp_path / "synsets.txt").write_text("\n".join(fakes.SYNSETS[:3]))
    with pytest.raises(ShardsError, match=r"'fine_label' has 4 classes, but .* names 3"):
        opened(files, tmp_path, label_columns=("fine_label",), **options)


def test_ids_of_a_column(files, tmp_path):
    dataset = opened(files, tmp_path, label_columns=BOTH, id_column="image.path")
    assert rows(dataset)["14.jpg"] == (2, fakes.jpeg(14))
    write(files / "data/train-00001-of-00002.parquet", cifar_columns(11, 12), CLASSES)
    twice = opened(files, tmp_path, label_columns=BOTH, id_column="image.path")
    assert {name for name in rows(twice) if name.endswith("11.jpg")} == {
        "data/train-00000-of-00002.parquet/11.jpg",
        "data/train-00001-of-00002.parquet/11.jpg",
    }


def test_ids_that_most_images_share_are_refused(tmp_path):
    write(tmp_path / "f/train.parquet", {**cifar_columns(0, 10), "id": [7] * 9 + [8]}, CLASSES)
    with pytest.raises(ShardsError, match=r"8 of 10 images have an image id .* id_column, or non"):
        opened(tmp_path / "f", tmp_path, label_columns=BOTH, id_column="id")
    told = {"label_columns": BOTH, "id_column": "id", "max_skipped_share": 0.8}
    assert opened(tmp_path / "f", tmp_path, **told).splits["train"] == 2


def test_a_test_split_without_labels_is_counted_by_itself(files, tmp_path):
    unlabelled = {**cifar_columns(24, 4), "fine_label": [-1] * 4}
    write(files / "data/test-00000-of-00001.parquet", unlabelled, CLASSES)
    with pytest.raises(SourceError, match=r"^4 of 4 images of test cannot be used"):
        opened(files, tmp_path, label_columns=BOTH)
    only = str(files / "data/train-*")
    assert opened(only, tmp_path, label_columns=BOTH).splits["train"] == 24


@pytest.mark.parametrize("kind", ["dictionary", "large_string", "uint8", "large_binary"])
def test_types_of_columns(tmp_path, kind):
    labels = pa.array(["cat", "dog", "cat"])
    data = pa.array([fakes.jpeg(number) for number in range(3)])
    if kind == "dictionary":
        labels = labels.dictionary_encode()
    elif kind == "large_string":
        labels = labels.cast(pa.large_string())
    elif kind == "uint8":
        labels = pa.array([0, 1, 0], pa.uint8())
    else:
        data = data.cast(pa.large_binary())
    write(tmp_path / "f/train.parquet", {"image": data, "label": labels})
    dataset = opened(tmp_path / "f", tmp_path)
    assert leaf_names(dataset) == (["0", "1"] if kind == "uint8" else ["cat", "dog"])
    assert [label for label, _ in dict(sorted(rows(dataset).items())).values()] == [0, 1, 0]


def test_every_row_is_used_or_named(tmp_path):
    columns = {
        "image": [*images(0, 4), None, {"bytes": None, "path": "7.jpg"},
                  {"bytes": b"no image", "path": ""}, *images(7, 3)],
        "label": [0, 1, 0, 1, 0, 1, 0, -1, None, 9],
    }  # fmt: skip
    write(tmp_path / "f/train.parquet", columns, {"label": ("cat", "dog")}, rows_per_group=3)
    with pytest.raises(UsageError) as error:
        opened(tmp_path / "f", tmp_path)
    assert "the file names 7.jpg and does not hold it" in str(error.value)
    advised = float(str(error.value).rpartition("max_skipped_share=")[2])
    dataset = opened(tmp_path / "f", tmp_path, max_skipped_share=advised)
    assert dataset.splits == {"train": 4}
    assert skipped(dataset) == {
        "train.parquet/000004": "label without image",
        "train.parquet/000005": "label without image",
        "train.parquet/000006": "not an image",
        "train.parquet/000007": "image without label",
        "train.parquet/000008": "image without label",
        "train.parquet/000009": "label that is no class",
    }
    assert dataset.preparation().report.num_files == 10
    assert {name: label for name, (label, _) in rows(dataset).items()} == {
        f"train.parquet/00000{row}": row % 2 for row in range(4)
    }


def test_a_part_is_made_of_whole_row_groups(files, monkeypatch, tmp_path):
    """Row groups of 5, 5 and 2 rows; parts of at least 6 rows end with the second and the last."""
    monkeypatch.setattr("fine2coarse.datasets.shard_source.MAX_BATCH_FILES", 6)
    units = []
    read = ParquetReader.images

    def noted(self, shard, scan, begin, end):
        units.append((shard.name[5:11], begin, end))
        return read(self, shard, scan, begin, end)

    monkeypatch.setattr(ParquetReader, "images", noted)
    assert opened(files, tmp_path, label_columns=BOTH).splits["train"] == 24
    assert units == [
        ("test-0", 0, 4), ("train-", 0, 10), ("train-", 10, 12), ("train-", 0, 10),
        ("train-", 10, 12),
    ]  # fmt: skip
    assert file_batches.MAX_BATCH_BYTES == 64 << 20


@pytest.mark.slow
def test_workers_change_nothing(files, tmp_path):
    two = opened(files, tmp_path, label_columns=BOTH, num_workers=2)
    options = {"source": str(files), "label_columns": BOTH}
    one = open_dataset("parquet", options, str(tmp_path / "elsewhere"))
    assert one.fingerprint == two.fingerprint


def test_classes_that_no_image_has_are_left_out_of_what_nests(tmp_path, told):
    columns = {"image": images(0, 3), "fine": [0, 2, 2], "coarse": [1, 0, 0]}
    classes = {"fine": ("a", "b", "c"), "coarse": ("x", "y")}
    write(tmp_path / "f/train.parquet", columns, classes)
    dataset = opened(tmp_path / "f", tmp_path, label_columns=("fine", "coarse"))
    assert leaf_names(dataset) == ["a", "c"]
    assert "1 of 3 classes of fine have no image and are left out" in told()
    flat = opened(tmp_path / "f", tmp_path, label_columns=("fine",))
    assert leaf_names(flat) == ["a", "b", "c"]
    assert "1 of 3 classes have no image to train on, such as b" in told()


def test_names_that_two_classes_have_stay_two_classes(tmp_path):
    columns = {"image": images(0, 3), "label": [0, 1, 2]}
    write(tmp_path / "f/train.parquet", columns, {"label": ("crane", "hen", "crane")})
    assert leaf_names(opened(tmp_path / "f", tmp_path)) == ["crane (0)", "hen", "crane (2)"]


def test_labels_that_do_not_nest_are_named(files, tmp_path):
    columns = cifar_columns(0, 4) | {"coarse_label": [0, 1, 1, 0]}
    write(files / "data/train-00000-of-00002.parquet", columns, CLASSES)
    with pytest.raises(TaxonomyError, match=r"fine_label 'poodle' lies in \['fish', 'mammal'\]"):
        opened(files, tmp_path, label_columns=BOTH)


def test_labels_corrected_in_place_are_noticed_and_touched_files_are_not(files, tmp_path, told):
    before = opened(files, tmp_path, label_columns=BOTH)
    path = files / "data/train-00000-of-00002.parquet"
    os.utime(path, (1, 1))
    again = opened(files, tmp_path, label_columns=BOTH)
    assert again.builder.data_dir == before.builder.data_dir
    data = path.read_bytes()
    columns = cifar_columns(0, 12)
    columns["fine_label"][2:4] = [3, 2]  # as many of each, in the same group
    write(path, columns, CLASSES)
    assert path.stat().st_size == len(data)
    told()
    after = opened(files, tmp_path, label_columns=BOTH)
    assert "train-00000-of-00002.parquet is changed" in "\n".join(told())
    assert rows(after)["data/train-00000-of-00002.parquet/000002"] == (3, fakes.jpeg(2))


def test_an_image_replaced_by_one_of_its_size_is_noticed(tmp_path):
    one, other = (fakes.jpeg(number).ljust(1000, b"\0") for number in (1, 2))
    path = tmp_path / "f/train.parquet"
    write(path, {"image": [one], "label": ["cat"]})
    before = opened(tmp_path / "f", tmp_path)
    write(path, {"image": [other], "label": ["cat"]})
    assert opened(tmp_path / "f", tmp_path).fingerprint != before.fingerprint


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_refused_by_name(files, tmp_path, damage):
    path = files / "data/train-00001-of-00002.parquet"
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-100], "text": b"text", "empty": b""}[damage])
    with pytest.raises(ShardsError) as error:
        opened(files, tmp_path, label_columns=BOTH)
    told = str(error.value)
    assert "1 of 3 Parquet files cannot be read: " in told and "\n" not in told
    assert "train-00001-of-00002.parquet: cut off, damaged or no Parquet file" in told


def test_a_page_that_fails_its_checksum_is_refused(tmp_path):
    path = tmp_path / "f/train.parquet"
    path.parent.mkdir()
    # Bytes that do not compress, and no image header among the bits that flip.
    data = [fakes.jpeg(0) + os.urandom(4000)]
    table = pa.table({"image": data, "label": ["cat"]})
    pq.write_table(table, path, write_page_checksum=True, compression="none")
    damaged = bytearray(path.read_bytes())
    at = damaged.find(data[0][-100:])
    damaged[at] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ShardsError, match=r"train.parquet: cut off, damaged .*get it again"):
        opened(tmp_path / "f", tmp_path)


def test_other_names_of_the_classes_in_another_file_are_refused(files, tmp_path):
    classes = {**CLASSES, "fine_label": FINE[::-1]}
    write(files / "data/test-00000-of-00001.parquet", cifar_columns(24, 4), classes)
    with pytest.raises(ShardsError, match="name the classes of 'fine_label' in different ways"):
        opened(files, tmp_path, label_columns=BOTH)


_COLUMNS: Mapping[str, tuple[Mapping[str, Sequence[object]], Mapping[str, object], str]] = {
    "no image": ({"label": [1]}, {}, "no column of images; .*the columns are label .int64."),
    "two images": (
        {"left": [b"1"], "right": [b"2"], "label": [1]},
        {},
        r"several columns could be the images: \['left', 'right'\]",
    ),
    "no label": ({"image": [b"1"], "kind": [1]}, {}, "no column is called `label`; name the"),
    "misspelt": ({"image": [b"1"], "kind": [1]}, {"label_columns": ("knd",)}, "mean 'kind'"),
    "image of text": ({"image": ["a"], "label": [1]}, {"image_column": "image"}, "expected bytes"),
    "label of floats": ({"image": [b"1"], "label": [0.5]}, {}, "'label' is of type double; expec"),
    "no such id": (
        {"image": [b"1"], "label": [1]},
        {"id_column": "image.path"},
        "unknown id column 'image.path'",
    ),
}


@pytest.mark.parametrize("mistake", _COLUMNS)
def test_a_column_that_is_missing_or_not_certain_is_told(tmp_path, mistake):
    columns, options, told = _COLUMNS[mistake]
    write(tmp_path / "f/train.parquet", columns)
    with pytest.raises(UsageError) as error:
        opened(tmp_path / "f", tmp_path, **options)
    assert re.search(told, str(error.value)) and "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_several_class_labels_are_told_as_they_are_to_be_named(files, tmp_path):
    with pytest.raises(ShardsError, match=r"fine_label \(4 classes\), coarse_label") as error:
        opened(files, tmp_path)
    advised = re.search(r"label_columns=\"\((.*?),\)\"", str(error.value))[1]
    columns = tuple(re.findall(r"'(\w+)'", advised))
    assert opened(files, tmp_path, label_columns=columns).splits["train"] == 24


def test_files_that_lack_are_told(files, tmp_path, told):
    (files / "data/train-00000-of-00002.parquet").unlink()
    opened(files, tmp_path, label_columns=BOTH)
    line = "shards that are not there: 1 of 2, such as data/train-00000-of-00002.parquet"
    assert [one for one in told() if "not there" in one] == [line]


def test_a_look_before_preparing(files, tmp_path):
    survey = survey_unprepared("parquet", {"source": str(files), "label_columns": BOTH})
    assert survey.num_train_images == dict.fromkeys(range(4), 6)
    assert survey.taxonomy.levels == BOTH
    assert not (tmp_path / "data").exists()


def test_levels_that_options_tell():
    assert levels_of_labels({"label_columns": BOTH}) == BOTH
    assert levels_of_labels({"label_fields": ("cls",)}) == ("class",)
    assert levels_of_labels({"taxonomy": "wordnet"}) == tuple(map(str, range(13)))
    assert levels_of_labels({"taxonomy": "own.csv"}) == levels_of_labels({}) == ()
