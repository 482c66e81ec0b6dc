"""TFDS's own datasets with several label features, as hierarchies."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import naming
from tensorflow_datasets.core import splits as tfds_splits

from fine2coarse.datasets.open import open_dataset
from fine2coarse.datasets.prepared import DatasetError
from fine2coarse.datasets.tfds_hierarchy import nested_taxonomy, open_hierarchy
from fine2coarse.labels import sources
from fine2coarse.taxonomy.taxonomy import TaxonomyError

_NUM_FINE, _NUM_COARSE = 100, 20


def write_cifar100(folder, coarse_of) -> None:
    """CIFAR-100's binary layout: coarse byte, fine byte, 3,072 bytes of pixels."""
    folder = folder / "cifar-100-binary"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2 * _NUM_FINE, 3072), dtype=np.uint8)
    labels = [(coarse_of(n), n % _NUM_FINE) for n in range(2 * _NUM_FINE)]
    rows = np.concatenate([np.asarray(labels, np.uint8), pixels], axis=1)
    (folder / "train.bin").write_bytes(rows.tobytes())
    (folder / "test.bin").write_bytes(rows[:7].tobytes())
    for name, count in (("fine", _NUM_FINE), ("coarse", _NUM_COARSE)):
        text = "\n".join(f"{name}{n}" for n in range(count)) + "\n"
        (folder / f"{name}_label_names.txt").write_text(text)


def prepare_cifar100(folder, coarse_of) -> tfds.core.DatasetBuilder:
    write_cifar100(folder / "source", coarse_of)
    builder = tfds.builder("cifar100", data_dir=folder / "data")
    with mock.patch.object(
        tfds.download.DownloadManager, "download_and_extract", lambda self, url: folder / "source"
    ):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return builder


def test_cifar100_is_a_hierarchy(tmp_path):
    dataset = open_hierarchy(prepare_cifar100(tmp_path, lambda n: n % 20))
    taxonomy = dataset.taxonomy
    assert taxonomy.levels == ("label", "coarse_label")
    coarse = sources.level(taxonomy, "coarse_label")
    assert (taxonomy.num_leaves, coarse.num_classes) == (_NUM_FINE, _NUM_COARSE)
    assert coarse.class_names[coarse.table[43, 0]] == "coarse3"
    index = dataset.index("train")
    assert sorted(index.labels.tolist()) == sorted(list(range(_NUM_FINE)) * 2)
    assert len(set(index.image_ids)) == 2 * _NUM_FINE
    example = next(iter(dataset.read("test")))
    assert tf.io.decode_png(example["image"]).shape == (32, 32, 3)
    with pytest.raises(DatasetError, match=r"no split 'val'; it has \['test', 'train'\]"):
        dataset.read("val")


def test_nesting_is_verified(tmp_path):
    builder = prepare_cifar100(tmp_path, lambda n: 3 if n == 117 else n % 20)
    with pytest.raises(
        TaxonomyError, match=r"cifar100: label 'fine17' lies in .*coarse3.*coarse17"
    ):
        open_hierarchy(builder)


def test_a_fine_class_without_image_has_no_parent():
    rows = np.asarray([[0, 0], [1, 1]])
    with pytest.raises(TaxonomyError, match="'c' lies in no class, for no image"):
        nested_taxonomy(("fine", "coarse"), [["a", "b", "c"], ["x", "y"]], rows, "toy")


def test_three_levels():
    rows = np.asarray([[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]])
    names = [["a", "b", "c", "d"], ["x", "y", "z"], ["x", "w"]]
    taxonomy = nested_taxonomy(("fine", "middle", "coarse"), names, rows, "toy")
    above = [taxonomy.names[nodes[0]] for nodes in taxonomy.ancestors_at("coarse")]
    assert above == ["x", "x", "x", "w"]


def mocked(builder: tfds.core.DatasetBuilder, **num_examples: int) -> tfds.core.DatasetBuilder:
    """A builder of which TFDS's mock gives the examples."""
    template = naming.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=builder.name, filetype_suffix="tfrecord"
    )
    infos = [
        tfds_splits.SplitInfo(
            name=name, shard_lengths=[count], num_bytes=1, filename_template=template
        )
        for name, count in num_examples.items()
    ]
    builder.info.set_splits(tfds_splits.SplitDict(infos))
    return builder


def omniglot(self, split, decoders=None, **options):
    """Characters 0 to 1622, of which alphabet a has those that leave a when divided by 50."""
    del self, split, options
    count = tf.range(1623, dtype=tf.int64)
    columns = {"label": count, "alphabet": count % 50}
    if not isinstance(decoders, tfds.decode.PartialDecoding):
        columns["image"] = tf.strings.as_string(count)
        columns["alphabet_char_id"] = count
    return tf.data.Dataset.from_tensor_slices(columns)


def test_omniglot_by_naming_its_features(tmp_path):
    with tfds.testing.mock_data(as_dataset_fn=omniglot):
        builder = mocked(tfds.builder("omniglot", data_dir=tmp_path), train=1623)
        dataset = open_hierarchy(builder, ("label", "alphabet"))
        alphabets = sources.level(dataset.taxonomy, "alphabet")
        assert (dataset.taxonomy.num_leaves, alphabets.num_classes) == (1623, 50)
        first = [
            example["image_id"] for example in dataset.read("train").take(2).as_numpy_iterator()
        ]
        assert first == [b"train-00000000", b"train-00000001"]
        part = dataset.read("train[1:3]").as_numpy_iterator()  # named by their place in the whole
        assert [example["label"] for example in part] == [1, 2]


def test_random_labels_do_not_nest(tmp_path):
    with tfds.testing.mock_data(num_examples=200):
        builder = mocked(tfds.builder("omniglot", data_dir=tmp_path), train=200)
        with pytest.raises(TaxonomyError, match=r"omniglot: label .* lies in"):
            open_hierarchy(builder)


def test_imagenet2012_hangs_below_wordnet(tmp_path):
    with tfds.testing.mock_data(num_examples=2):
        builder = mocked(tfds.builder("imagenet2012", data_dir=tmp_path), validation=2)
        taxonomy = open_hierarchy(builder).taxonomy
    assert taxonomy.leaf_ids == tuple(builder.info.features["label"].names)
    assert taxonomy.num_leaves == 1000
    names = [taxonomy.names[n] for n in taxonomy.labels_of(taxonomy.index["n04399382"], "1")]
    assert names == ["plaything, toy"]  # of the teddy bear


def test_wrong_features_are_errors(tmp_path):
    with tfds.testing.mock_data(num_examples=2):
        builder = mocked(tfds.builder("omniglot", data_dir=tmp_path), train=2)
        with pytest.raises(DatasetError, match=r"\['genus'\] are not distinct class labels"):
            open_hierarchy(builder, ("label", "genus"))
        with pytest.raises(DatasetError, match="only where its classes are named by synset ids"):
            open_hierarchy(builder, ("label",))
        mnist = mocked(tfds.builder("mnist", data_dir=tmp_path), train=2)
        with pytest.raises(DatasetError, match="name its label features"):
            open_hierarchy(mnist)


def test_a_taxonomy_from_a_file_above_one_feature(tmp_path):
    """Fine classes n below group n % 7, groups below even or odd."""
    builder = prepare_cifar100(tmp_path, lambda n: n % 20)
    lines = [f"group{n % 7},FINE{n}" for n in reversed(range(_NUM_FINE))]
    lines += [f"{'odd' if n % 2 else 'even'},group{n}" for n in range(7)] + ["odd,tapir"]
    path = tmp_path / "edges.csv"
    path.write_text("\n".join(["parent,child", *lines]))
    dataset = open_hierarchy(builder, taxonomy_file=str(path))
    assert dataset.taxonomy.leaf_ids == tuple(f"FINE{n}" for n in range(_NUM_FINE))
    coarse = sources.level(dataset.taxonomy, "depth:0")
    assert coarse.num_classes == 2
    assert coarse.class_names[coarse.table[43, 0]] == "odd"  # 43 % 7 = 1
    assert sources.level(dataset.taxonomy, "hops:1").num_classes == 7
    assert dataset.index("train").labels.max() == _NUM_FINE - 1
    with pytest.raises(DatasetError, match=r"name one in `label_features`, of .*coarse_label"):
        open_hierarchy(builder, ("label", "coarse_label"), str(path))
    path.write_text("parent,child\na,FINE0\na,coarse7\nb,a\n")
    with pytest.raises(TaxonomyError, match="99 of the 100 classes of cifar100 are no node"):
        open_hierarchy(builder, taxonomy_file=str(path))
    told = r"19 of the 20 .*: 'coarse0', .*; 1 of its 2 leaves are no class: 'FINE0'"
    with pytest.raises(TaxonomyError, match=told):
        open_hierarchy(builder, ("coarse_label",), str(path))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("imagenette", "parent,child\na,n01440764\nb,a\n", "9 of the 10 classes of imagenette"),
        ("cifar100", "parent,child\na,\n", "row 2: expected 2 cells"),  # its names come later
        ("cifar100", None, "No such file"),
    ],
)
def test_a_wrong_file_is_told_before_anything_is_downloaded(tmp_path, name, text, message):
    path = tmp_path / "edges.csv"
    if text:
        path.write_text(text)
    download = mock.patch.object(tfds.core.DatasetBuilder, "download_and_prepare")
    with download as called, pytest.raises((TaxonomyError, OSError), match=message):
        open_dataset("tfds", {"name": name, "taxonomy": str(path)}, str(tmp_path / "data"))
    assert not called.called
