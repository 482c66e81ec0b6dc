"""WebDataset shards: labels by every rule, every key accounted for, mistakes named."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import pathlib
import pickle
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence

import pytest

from fine2coarse.datasets import webdataset
from fine2coarse.datasets.open import open_dataset, survey_unprepared
from fine2coarse.datasets.shard_files import ShardsError, expand_braces, find_shards, split_of
from fine2coarse.datasets.webdataset import WebDatasetReader, split_name
from fine2coarse.errors import RecipeError, UsageError
from fine2coarse.preparation import engine
from fine2coarse.taxonomy import TaxonomyError
from tests.datasets import fakes

Files = Sequence[tuple[str, bytes]]
GOLDFISH, DOG, CHIHUAHUA, POODLE = fakes.SYNSETS


def sample(key: str, cls: object, seed: int = 0, **content: object) -> list[tuple[str, bytes]]:
    """The files of one key, in the order in which WebDataset's writer puts them."""
    files = [(f"{key}.cls", str(cls).encode()), (f"{key}.jpg", fakes.jpeg(seed))]
    if content:
        files.append((f"{key}.json", json.dumps(content).encode()))
    return files


def write(path: pathlib.Path, files: Files, *, compressed: bool = False) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = fakes.tar_bytes(files)
    path.write_bytes(gzip.compress(data) if compressed else data)
    return path


def imagenet_files(first: int, count: int) -> Files:
    """Keys, labels and JSON as the shards of ImageNet-12k have them."""
    files = []
    for number in range(first, first + count):
        synset = fakes.SYNSETS[number % 4]
        key, label = f"{synset}_{number}", number % 4
        files += sample(key, label, number, label=label, class_name=synset, width=24, height=20)
    return files


@pytest.fixture
def shards(tmp_path) -> pathlib.Path:
    """Two shards of eight images to train on, one of four to validate on."""
    root = tmp_path / "shards"
    write(root / "imagenet12k-train-0000.tar", imagenet_files(0, 8))
    write(root / "imagenet12k-train-0001.tar", imagenet_files(8, 8))
    write(root / "imagenet12k-validation-000.tar", imagenet_files(16, 4))
    (root / "README.md").write_text("about")
    return root


def opened(source: pathlib.Path | str, tmp_path: pathlib.Path, **options):
    given = {"source": str(source), **options}
    return open_dataset("webdataset", given, str(tmp_path / "data"))


def rows(dataset, split: str = "train") -> dict[str, tuple[int, bytes]]:
    """Image id → label and bytes."""
    examples = dataset.read(split).as_numpy_iterator()
    return {one["image_id"].decode(): (int(one["label"]), one["image"]) for one in examples}


def skipped(dataset) -> dict[str, str]:
    return fakes.skipped(dataset.builder.data_dir)


def labels(dataset, split: str = "train") -> dict[str, str]:
    """Image id → id of its leaf."""
    leaves = dataset.taxonomy.leaf_ids
    return {image_id: leaves[label] for image_id, (label, _) in rows(dataset, split).items()}


def test_shards_as_they_circulate(shards, tmp_path, told):
    dataset = opened(shards, tmp_path)
    assert dataset.splits == {"train": 16, "val": 4}
    assert "3 WebDataset shards: 20 files, 16 to train, 4 to val" in told()
    assert dataset.taxonomy.leaf_ids == ("0", "1", "2", "3")
    assert dataset.taxonomy.levels == ("class",)
    assert rows(dataset)[f"{DOG}_9"] == (1, fakes.jpeg(9))
    assert skipped(dataset) == {}


def test_classes_name_the_integers_and_wordnet_stands_above_them(shards, tmp_path):
    (tmp_path / "synsets.txt").write_text("\n".join([*fakes.SYNSETS, "n01440764"]) + "\n")
    dataset = opened(shards, tmp_path, classes=str(tmp_path / "synsets.txt"), taxonomy="wordnet")
    assert dataset.taxonomy.leaf_ids == (*fakes.SYNSETS, "n01440764")  # the last has no image
    assert dataset.taxonomy.levels[:2] == ("0", "1")
    assert labels(dataset)[f"{POODLE}_3"] == POODLE
    assert dataset.taxonomy.names[dataset.taxonomy.index[DOG]].startswith("dog")


@pytest.mark.parametrize("field", ["class_name", "__key__"])
def test_synset_ids_in_the_json_or_the_keys_need_no_list(shards, tmp_path, field):
    dataset = opened(shards, tmp_path, label_fields=(field,), taxonomy="wordnet")
    assert dataset.taxonomy.leaf_ids == fakes.SYNSETS
    assert labels(dataset, "val")[f"{GOLDFISH}_16"] == GOLDFISH


def test_fields_of_the_json_show_how_they_nest(tmp_path):
    files = []
    for number, (species, genus) in enumerate(
        (("robin", "bird"), ("owl", "bird"), ("cod", "fish"))
    ):
        files += sample(f"{number}", 7, number, species=species, above={"genus": genus})
    write(tmp_path / "shards/train-0.tar", files)
    dataset = opened(
        tmp_path / "shards", tmp_path, label_fields=("species", "above.genus"), test_share=0.5
    )
    assert dataset.taxonomy.levels == ("species", "above.genus")
    names = [dataset.taxonomy.names[node] for node in dataset.taxonomy.leaf_nodes]
    assert names == ["cod", "owl", "robin"]
    rows_at = dataset.taxonomy.ancestors_at("above.genus")
    genera = [dataset.taxonomy.names[node] for (node,) in rows_at]
    assert genera == ["fish", "bird", "bird"]
    files += sample("4", 7, 4, species="cod", above={"genus": "bird"})
    write(tmp_path / "shards/train-0.tar", files)
    with pytest.raises(TaxonomyError, match=r"species 'cod' lies in \['bird', 'fish'\]"):
        opened(tmp_path / "shards", tmp_path, label_fields=("species", "above.genus"))


def test_a_taxonomy_of_a_file_is_matched_by_name(shards, tmp_path):
    (tmp_path / "own.csv").write_text(
        f"synset,kind\n{POODLE},pet\n{DOG},pet\n{CHIHUAHUA},pet\n{GOLDFISH},fish\n"
    )
    options = {"label_fields": ("class_name",), "taxonomy": str(tmp_path / "own.csv")}
    dataset = opened(shards, tmp_path, **options)
    assert dataset.taxonomy.levels == ("synset", "kind")
    names = [dataset.taxonomy.names[node] for node in dataset.taxonomy.leaf_nodes]
    assert names == list(fakes.SYNSETS)  # in the order of the dataset's classes
    (tmp_path / "own.csv").write_text(f"synset,kind\n{POODLE},pet\n{DOG},pet\n{CHIHUAHUA},pet\n")
    with pytest.raises(TaxonomyError, match=rf"1 of the 4 classes .*{GOLDFISH}"):
        opened(shards, tmp_path, **options)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n01440764_10026.jpg", ("n01440764_10026", "jpg")),
        ("a.b.JPG", ("a", "b.jpg")),
        ("v1.2/train/7.cls", ("v1.2/train/7", "cls")),
        ("7", ("", "")),
        (".DS_Store", ("", "")),
        ("x/._7.jpg", ("", "")),
        ("__meta__/info.json", ("", "")),
    ],
)
def test_a_key_ends_at_the_first_dot_of_the_name(name, expected):
    assert split_name(name) == expected


def test_every_key_is_used_or_named(tmp_path, told):
    files = [
        *(file for n in range(6) for file in sample(f"good{n}", n % 2, n)),
        ("bare.jpg", fakes.jpeg(10)),
        ("empty.cls", b" "), ("empty.jpg", fakes.jpeg(11)),
        ("minus.cls", b"-1"), ("minus.jpg", fakes.jpeg(12)),
        ("alone.cls", b"1"),
        ("two.cls", b"1"), ("two.jpg", fakes.jpeg(13)), ("two.png", fakes.jpeg(14)),
        ("broken.cls", b"0"), ("broken.jpg", fakes.jpeg(15)[:300]),
        ("captions.txt", b"no image, no label"),
        ("noname", b"?"),
        ("._good0.jpg", b"\0"),
        ("../escaped.jpg", fakes.jpeg(16)), ("../escaped.cls", b"0"),
        ("beyond.cls", b"9"), ("beyond.jpg", fakes.jpeg(17)),
    ]  # fmt: skip
    write(tmp_path / "shards/train-0.tar", files)
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    options = {"classes": str(tmp_path / "classes.txt")}
    with pytest.raises(UsageError) as error:
        opened(tmp_path / "shards", tmp_path, **options)
    advised = float(str(error.value).rpartition("max_skipped_share=")[2])
    dataset = opened(tmp_path / "shards", tmp_path, max_skipped_share=advised, **options)
    assert dataset.splits == {"train": 6}
    where = "train-0.tar"
    assert skipped(dataset) == {
        f"{where}/bare": "image without label",
        f"{where}/empty": "image without label",
        f"{where}/minus": "image without label",
        f"{where}/alone": "label without image",
        f"{where}/two": "several images of one key",
        f"{where}/broken": "truncated image",
        f"{where}/captions": "not part of the layout",
        f"{where}/noname": "not part of the layout",
        f"{where}/._good0.jpg": "hidden or system file",
        f"{where}/../escaped.jpg": "unsafe path",
        f"{where}/../escaped.cls": "unsafe path",
        f"{where}/beyond": "label that is no class",
    }
    report = dataset.preparation().report
    assert report.num_files == 6 + len(skipped(dataset))
    assert [dataset.taxonomy.leaf_ids[n] for n in range(2)] == ["cat", "dog"]


def test_of_several_images_the_plain_one_or_the_one_named_is_taken(tmp_path):
    files = []
    for number in range(3):
        files += sample(f"{number}", number, number)
        files.append((f"{number}.mask.png", fakes.jpeg(90 + number)))
    write(tmp_path / "shards/train-0.tar", files)
    assert rows(opened(tmp_path / "shards", tmp_path))["1"] == (1, fakes.jpeg(1))
    dataset = opened(tmp_path / "shards", tmp_path, image_field="mask.png")
    assert rows(dataset)["1"] == (1, fakes.jpeg(91))


class _Touch:
    """What a pickle can do when it is loaded."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_no_pickle_is_loaded(tmp_path):
    bomb = pickle.dumps(_Touch(tmp_path / "loaded"))
    files = [
        *sample("0", 0, 0), ("0.pyd", bomb), ("0.pickle", bomb),
        *sample("1", 1, 1), ("1.npy", bomb),
    ]  # fmt: skip
    write(tmp_path / "shards/train-0.tar", files)
    assert opened(tmp_path / "shards", tmp_path).splits == {"train": 2}
    assert not (tmp_path / "loaded").exists()


def test_keys_that_repeat_among_shards_get_the_shard_in_front(tmp_path):
    write(tmp_path / "s/train-0.tar", [*sample("000", 0, 0), *sample("first", 1, 1)])
    write(tmp_path / "s/train-1.tar", [*sample("000", 1, 2), *sample("second", 0, 3)])
    write(tmp_path / "s/val-0.tar", sample("000", 0, 4))
    dataset = opened(tmp_path / "s", tmp_path)
    assert {image_id: label for image_id, (label, _) in rows(dataset).items()} == {
        "train-0.tar/000": 0, "first": 1, "train-1.tar/000": 1, "second": 0,
    }  # fmt: skip
    assert set(rows(dataset, "val")) == {"000"}


def test_labels_in_place_of_numbers_are_names(tmp_path):
    files = [*sample("0", "poodle", 0), *sample("1", " goldfish\n", 1), *sample("2", "poodle", 2)]
    write(tmp_path / "s/train-0.tar", files)
    dataset = opened(tmp_path / "s", tmp_path)
    assert labels(dataset) == {"0": "poodle", "1": "goldfish", "2": "poodle"}


def test_numbers_are_ordered_as_numbers(tmp_path):
    files = [file for n in (10, 2, 33) for file in sample(f"{n}", n, n)]
    write(tmp_path / "s/train-0.tar", files)
    assert opened(tmp_path / "s", tmp_path).taxonomy.leaf_ids == ("2", "10", "33")


def test_compressed_and_plain_shards_give_the_same(shards, tmp_path):
    plain = opened(shards, tmp_path)
    for path in shards.glob("*.tar"):
        (tmp_path / "gz").mkdir(exist_ok=True)
        (tmp_path / "gz" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    compressed = opened(tmp_path / "gz", tmp_path)
    assert compressed.fingerprint == plain.fingerprint


@pytest.mark.slow
def test_workers_change_nothing(shards, tmp_path):
    two = opened(shards, tmp_path, num_workers=2)
    one = open_dataset("webdataset", {"source": str(shards)}, str(tmp_path / "elsewhere"))
    assert one.fingerprint == two.fingerprint


def test_a_killed_preparation_goes_on_where_it_was(shards, tmp_path, monkeypatch):
    """It dies while it writes the records; labels and images are not read again."""
    whole = open_dataset("webdataset", {"source": str(shards)}, str(tmp_path / "elsewhere"))

    def die(task):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "write_shard", die)
    with pytest.raises(KeyboardInterrupt):
        opened(shards, tmp_path)
    monkeypatch.undo()
    for name in ("scan", "images"):
        monkeypatch.setattr(WebDatasetReader, name, die)
    assert opened(shards, tmp_path).fingerprint == whole.fingerprint


@pytest.mark.parametrize("damage", ["cut", "junk", "zeros", "empty", "no tar"])
def test_a_damaged_shard_is_refused_by_name(shards, tmp_path, damage):
    path = shards / "imagenet12k-train-0001.tar"
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        header = archive.getmembers()[12].offset
    if damage == "junk":
        data[header : header + 512] = b"\x55" * 512
    elif damage == "zeros":
        data[header : header + 1024] = bytes(1024)
    path.write_bytes({"cut": data[:header], "empty": b"", "no tar": b"text"}.get(damage, data))
    with pytest.raises(ShardsError) as error:
        opened(shards, tmp_path)
    assert "1 of 3 WebDataset shards cannot be read: " in str(error.value)
    assert "train-0001.tar" in str(error.value)
    path.write_bytes(fakes.tar_bytes(imagenet_files(8, 8)))
    assert opened(shards, tmp_path).splits["train"] == 16


def test_links_within_a_shard_are_followed_and_others_named(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in [*sample("0", 0, 0), *sample("1", 1, 1)]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (("2.jpg", "1.jpg"), ("2.cls", "1.cls"), ("3.jpg", "/etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    (tmp_path / "s").mkdir()
    (tmp_path / "s/train-0.tar").write_bytes(stream.getvalue())
    dataset = opened(tmp_path / "s", tmp_path, max_skipped_share=0.5)
    assert rows(dataset)["2"] == (1, fakes.jpeg(1))
    assert skipped(dataset) == {"train-0.tar/3.jpg": "link that cannot be followed"}


def test_labels_corrected_in_place_are_noticed(shards, tmp_path, told):
    """A shard that is written again with other labels has the size that it had."""
    before = opened(shards, tmp_path)
    path = shards / "imagenet12k-train-0000.tar"
    size = path.stat().st_size
    files = [
        (name, b"3" if name == f"{GOLDFISH}_0.cls" else data) for name, data in imagenet_files(0, 8)
    ]
    write(path, files)
    assert path.stat().st_size == size
    told()
    after = opened(shards, tmp_path)
    assert "imagenet12k-train-0000.tar is changed. It is prepared again" in "\n".join(told())
    assert labels(after)[f"{GOLDFISH}_0"] == "3" and labels(before)[f"{GOLDFISH}_0"] == "0"
    write(path, imagenet_files(0, 8))
    assert opened(shards, tmp_path).builder.data_dir == before.builder.data_dir


def test_a_shard_that_was_only_touched_changes_nothing(shards, tmp_path, told, monkeypatch):
    before = opened(shards, tmp_path)
    os.utime(shards / "imagenet12k-train-0000.tar", (1, 1))
    told()
    assert opened(shards, tmp_path).builder.data_dir == before.builder.data_dir
    assert "has another time of change; its labels are compared" in told()[0]

    def no_scan(*_):
        raise AssertionError("what was compared once is not compared again")

    monkeypatch.setattr(WebDatasetReader, "scan", no_scan)
    assert opened(shards, tmp_path).builder.data_dir == before.builder.data_dir


def test_shards_added_or_gone_are_noticed_and_all_gone_are_not_needed(shards, tmp_path, told):
    first = opened(shards, tmp_path)
    write(shards / "imagenet12k-train-0002.tar", imagenet_files(20, 4))
    told()
    assert opened(shards, tmp_path).splits["train"] == 20
    assert "1 new, such as imagenet12k-train-0002.tar" in "\n".join(told())
    (shards / "imagenet12k-train-0002.tar").unlink()
    assert opened(shards, tmp_path).fingerprint == first.fingerprint
    shutil.rmtree(shards)
    assert opened(shards, tmp_path).splits["val"] == 4
    assert "using the data prepared from it" in "\n".join(told())


def test_other_classes_are_other_data(shards, tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("a\nb\nc\nd\n")
    first = opened(shards, tmp_path, classes=str(file))
    file.write_text("a\nb\nd\nc\n")
    second = opened(shards, tmp_path, classes=str(file))
    assert first.fingerprint != second.fingerprint
    assert second.taxonomy.leaf_ids == ("a", "b", "d", "c")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("imagenet12k-validation-000.tar", "val"),
        ("imagenet_train-000000-train.tar", "train"),
        ("test-images-train-0001.tar", "train"),
        ("train/0000.tar", "train"),
        ("Validation/train-0000.tar", "val"),
        ("train2017-0.tar", "train"),
        ("test-00000-of-00010.parquet", "test"),
        ("trained-0000.tar", ""),
        ("0000.tar", ""),
    ],
)
def test_names_say_the_split(name, expected):
    assert split_of(name) == expected


def test_braces_are_those_of_webdataset(shards):
    assert list(expand_braces("a-{08..10}.tar")) == ["a-08.tar", "a-09.tar", "a-10.tar"]
    nested = "{train-{0..1},val-0}.tar"
    assert sorted(expand_braces(nested)) == ["train-0.tar", "train-1.tar", "val-0.tar"]
    found = find_shards(f"{shards}/imagenet12k-train-{{0000..0001}}.tar", (".tar",), "shards")
    assert [shard.name[-8:] for shard in found] == ["0000.tar", "0001.tar"]
    with pytest.raises(ShardsError, match=r"2 of 4 .* missing, such as \S+train-0002.tar"):
        find_shards(f"{shards}/imagenet12k-train-{{0000..0003}}.tar", (".tar",), "shards")


def test_without_splits_a_share_of_each_class_is_held_out(tmp_path):
    files = [file for n in range(20) for file in sample(f"{n:02d}", n % 2, n)]
    write(tmp_path / "s/0.tar", files)
    assert opened(tmp_path / "s", tmp_path).splits == {"train": 16, "test": 4}
    (tmp_path / "s/0.tar").rename(tmp_path / "s/train-0.tar")
    assert opened(tmp_path / "s", tmp_path).splits == {"train": 20}
    assert opened(tmp_path / "s", tmp_path, test_share=0.1).splits == {"train": 18, "test": 2}
    write(tmp_path / "s/test-0.tar", sample("t", 0, 99))
    with pytest.raises(ShardsError, match=r"test_share=0.1 was given, .* such as test-0.tar"):
        opened(tmp_path / "s", tmp_path, test_share=0.1)
    write(tmp_path / "s/more.tar", sample("m", 0, 98))
    with pytest.raises(ShardsError, match=r"1 of 3 names say no split, such as more.tar"):
        opened(tmp_path / "s", tmp_path)


def test_images_are_stored_as_those_of_a_folder_are(shards, tmp_path):
    """The same files in class folders: the same picture under the same leaf."""
    for number in range(16):
        path = tmp_path / "photos/train" / str(number % 4) / f"{fakes.SYNSETS[number % 4]}.jpg"
        path = path.with_name(f"{number}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fakes.jpeg(number))
    folder = open_dataset(
        "folder", {"source": str(tmp_path / "photos"), "flat": True}, str(tmp_path / "data")
    )
    stored = {row["image"]: int(row["label"]) for row in folder.read("train").as_numpy_iterator()}
    assert {data: label for label, data in rows(opened(shards, tmp_path)).values()} == stored


_MISTAKES: Mapping[str, tuple[Mapping[str, object], str]] = {
    "numbers are no synsets": (
        {"taxonomy": "wordnet"},
        "needs classes that are synset ids .* numbers: 0, 1, 2. .*classes=FILE",
    ),
    "too few levels": (
        {"taxonomy": "wordnet", "label_fields": ("class_name", "label")},
        "one column of labels is enough; got",
    ),
    "misspelt field": ({"label_fields": ("clas_name",)}, "did you mean 'class_name'"),
    "no such image": ({"image_field": "png"}, "no image has a label; label without image: "),
    "no such list": ({"classes": "gone.txt"}, "classes=gone.txt: no such file"),
    "no such taxonomy": ({"taxonomy": "wordnt"}, "taxonomy=.*no such file; .* or 'wordnet'"),
    "share": ({"test_share": 1.5}, "test_share is above 0 and below 1, got 1.5"),
}


@pytest.mark.parametrize("mistake", _MISTAKES)
def test_a_mistake_is_one_line_before_images_are_read(shards, tmp_path, mistake, monkeypatch):
    options, told = _MISTAKES[mistake]

    def no_images(*_):
        raise AssertionError("images were read")

    monkeypatch.setattr(WebDatasetReader, "images", no_images)
    with pytest.raises(UsageError) as error:
        opened(shards, tmp_path, **options)
    assert re.search(told, str(error.value)) and "\n" not in str(error.value)


def test_what_is_no_source_is_named(shards, tmp_path):
    with pytest.raises(ShardsError, match="needs `source`"):
        open_dataset("webdataset", {}, str(tmp_path))
    with pytest.raises(ShardsError, match=r"no such folder, .* did you mean \S*/shards\?"):
        opened(tmp_path / "shard", tmp_path)
    (tmp_path / "tables").mkdir()
    with pytest.raises(ShardsError, match=r"no WebDataset shards .* in it: it is empty"):
        opened(tmp_path / "tables", tmp_path)
    (tmp_path / "tables/a.parquet").write_bytes(b"")
    with pytest.raises(ShardsError, match="--dataset=parquet reads the Parquet files there"):
        opened(tmp_path / "tables", tmp_path)
    with pytest.raises(ShardsError, match="copy them to one first"):
        opened("gs://bucket/shards", tmp_path)
    write(tmp_path / "plain/train/dog/a.tar", [("dog", b"x")])
    with pytest.raises(ShardsError, match=r"no files named KEY.SUFFIX"):
        opened(tmp_path / "plain", tmp_path)
    with pytest.raises(RecipeError, match=r"label_field='x': .*did you mean 'label_fields'"):
        opened(shards, tmp_path, label_field="x")


def test_shards_without_cls_tell_the_fields_there_are(tmp_path):
    files = [("0.jpg", fakes.jpeg(0)), ("0.json", b'{"width": 3, "class_name": "n02084071"}')]
    write(tmp_path / "s/train-0.tar", files)
    with pytest.raises(ShardsError, match=r"name a field of KEY.json: class_name, width") as error:
        opened(tmp_path / "s", tmp_path)
    advised = re.search(r"label_fields=\"\('(\w+)',\)", str(error.value))[1]
    assert labels(opened(tmp_path / "s", tmp_path, label_fields=(advised,))) == {"0": "n02084071"}


def test_a_scan_reads_no_images(shards, monkeypatch):
    """It reads headers, labels, and half a kilobyte of each image."""
    shard = find_shards(str(shards), (".tar",), "shards")[0]
    num_bytes = 0

    class Counting(webdataset.FileSlice):
        def read(self, size):
            nonlocal num_bytes
            data = super().read(size)
            num_bytes += len(data)
            return data

    monkeypatch.setattr(webdataset, "FileSlice", Counting)
    scan = WebDatasetReader(label_fields=("cls",)).scan(shard)
    images = sum(scan.sizes)
    assert len(scan.rows) == 8 and images > 8 * 700
    headers_and_ends = 24 * 512 + 10240
    assert num_bytes <= headers_and_ends + 8 * (1 + 512) + 8 * 512


def test_a_look_before_preparing(shards, tmp_path):
    """Labels alone are read, and nothing is written."""
    files = [*imagenet_files(20, 4), ("bare.jpg", fakes.jpeg(90)), ("x.cls", b"2")]
    write(shards / "imagenet12k-train-0002.tar", [*files, *sample("odd", "owl", 91)])
    (tmp_path / "synsets.txt").write_text("\n".join(fakes.SYNSETS))
    options = {
        "source": str(shards), "classes": str(tmp_path / "synsets.txt"), "taxonomy": "wordnet",
    }  # fmt: skip
    survey = survey_unprepared("webdataset", options)
    assert survey.taxonomy.leaf_ids == fakes.SYNSETS
    assert survey.num_train_images == dict.fromkeys(range(4), 5)
    assert survey.head == (
        "4 WebDataset shards: train 20, val 4; 4 leaves; class sizes in images of train"
    )
    assert survey.notes == [
        "left out, label that is no class: 1 image, such as imagenet12k-train-0002.tar ('owl')",
        "left out, image without label: 1 image, such as imagenet12k-train-0002.tar/bare "
        "(no cls beside jpg)",
        "left out, label without image: 1 image, such as imagenet12k-train-0002.tar/x (only cls)",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "synsets.txt"}
    assert survey_unprepared("folder", {"source": str(shards)}) is None


def test_shards_that_lack_are_told(shards, tmp_path, told):
    files = [f"imagenet12k-train-000{number}.tar" for number in range(3)]
    train = {"name": "train", "filenames": files, "shard_lengths": [8, 9, 8]}
    other = {"name": "extra", "filenames": ["extra-0.tar"], "shard_lengths": [1]}
    splits = {"train": train, "extra": other}
    (shards / "_info.json").write_text(json.dumps({"name": "imagenet12k", "splits": splits}))
    opened(shards, tmp_path)
    lines = told()
    path = shards / "_info.json"
    assert (
        f"shards of train that {path} names and that are not there: 1 of 3, such as {files[2]}"
    ) in lines
    assert (
        f"shards of train with another number of images than {path} says: 1, such as {files[1]} "
        "with 8 instead of 9"
    ) in lines
    assert not any("extra" in line for line in lines)
    (shards / "_info.json").write_text('{"splits": 3}')  # of another program
    open_dataset("webdataset", {"source": str(shards)}, str(tmp_path / "elsewhere"))
    assert not any("_info" in line for line in told())


def test_real_photographs_are_those_of_the_archive(shared_data, tmp_path):
    """Three synsets of ImageNet-21k, once as its archive and once as shards."""
    whole = shared_data / "imagenet21k_mini" / "fall11_whole.tar"
    files: dict[str, dict[str, bytes]] = {}
    with tarfile.open(whole) as archive:
        for member in itertools.islice(archive, 3):
            with tarfile.open(fileobj=archive.extractfile(member)) as tar:
                images = itertools.islice(tar, 20)
                files[member.name[:9]] = {one.name: tar.extractfile(one).read() for one in images}
    fakes.whole_tar(tmp_path / "archives", files)
    labelled = []
    for synset, images in files.items():
        for name, data in images.items():
            key = name.partition(".")[0]
            labelled += [(f"{key}.cls", synset.encode()), (f"{key}.jpg", data)]
    write(tmp_path / "s/train-0.tar", labelled)
    shards = opened(tmp_path / "s", tmp_path, taxonomy="wordnet", test_share=0.2)
    options = {"manual_dir": str(tmp_path / "archives"), "leaves": "present"}
    archive = open_dataset("imagenet21k", options, str(tmp_path / "data"))
    assert shards.taxonomy.fingerprint == archive.taxonomy.fingerprint
    stored = [
        sorted(pair for split in dataset.splits for pair in rows(dataset, split).values())
        for dataset in (shards, archive)
    ]
    assert len(stored[0]) == 60 and stored[0] == stored[1]


def test_the_classes_may_be_others_than_those_of_the_smallest_shard(shards, tmp_path):
    """What is told early is wrong whatever the other shards hold."""
    write(shards / "imagenet12k-train-0002.tar", sample("n99999999_0", "n99999999", 50))
    options = {"taxonomy": "wordnet", "max_skipped_share": 0.1, "label_fields": ("__key__",)}
    dataset = opened(shards, tmp_path, **options)
    assert dataset.splits["train"] == 16
    assert skipped(dataset) == {"imagenet12k-train-0002.tar/n99999999_0": "label that is no class"}
    (tmp_path / "few.txt").write_text(f"{DOG}\n{POODLE}\n")
    few = opened(shards, tmp_path, classes=str(tmp_path / "few.txt"),
                 **options | {"max_skipped_share": 0.6})  # fmt: skip
    assert few.taxonomy.leaf_ids == (DOG, POODLE) and few.splits == {"train": 8, "val": 2}
