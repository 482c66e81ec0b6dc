"""Label spaces, embeddings and centroids on disk: no pickle, no other dataset's."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest

from fine2coarse.labels import embeddings
from fine2coarse.labels.clusters import Centroids
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.level import level
from fine2coarse.labels.sources import per_image, random_ids
from fine2coarse.labels.space import LabelSpace, LabelSpaceError


def test_saved_and_loaded_space_is_the_same(images, zoo, tmp_path):
    for space in (level(zoo, "1"), random_ids(images, 5, seed=0)):
        space.save(tmp_path / "deep" / "space.npz")
        again = LabelSpace.load(tmp_path / "deep" / "space.npz")
        assert again.fingerprint == space.fingerprint
        assert (again.name, again.source) == (space.name, dict(space.source))
        np.testing.assert_array_equal(again.table, space.table)
    names = {path.name for path in (tmp_path / "deep").iterdir()}
    assert names == {"space.npz", "space.npz.json"}


def test_odd_names_survive(tmp_path):
    ids = ("Löwe", "a\nb", "犬", "", ', "', "\\", "\x7f")
    space = dataclasses.replace(per_image(ids, dataset_fingerprint="x"), class_names=("\0",) * 7)
    space.save(tmp_path / "odd.npz")
    again = LabelSpace.load(tmp_path / "odd.npz")
    assert again.image_ids == ids == again.class_ids and again.class_names == ("\0",) * 7
    with pytest.raises(LabelSpaceError, match=r"image ids: .* holds a NUL byte"):
        per_image(["Löwe\0"], dataset_fingerprint="x")


def test_files_are_those_of_earlier_versions(tmp_path, images):
    """Arrays of the same names and bytes, so that either version opens the other's files."""
    space = random_ids(images, 5, seed=0)
    space.save(tmp_path / "space.npz")
    expected = {"table": space.table}
    for name in ("class_ids", "class_names", "image_ids"):
        text = json.dumps(list(getattr(space, name)), ensure_ascii=False)
        expected[name] = np.frombuffer(text.encode(), np.uint8)
    with np.load(tmp_path / "space.npz") as arrays:
        assert list(arrays) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(arrays[name], array)
            assert arrays[name].dtype == array.dtype
    np.savez_compressed(tmp_path / "space.npz", **expected)
    assert LabelSpace.load(tmp_path / "space.npz").fingerprint == space.fingerprint


class Exploit:
    """Would run code if it were unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_a_pickle_in_the_npz_is_refused(tmp_path, zoo):
    path = tmp_path / "space.npz"
    level(zoo, "0").save(path)
    with np.load(path) as arrays:
        content = dict(arrays)
    hostile = np.empty(1, object)
    hostile[0] = Exploit()
    np.savez(path, **(content | {"class_ids": hostile}))
    with pytest.raises(LabelSpaceError, match="allow_pickle=False"):
        LabelSpace.load(path)
    np.savez(tmp_path / "centroids.npz", vectors=hostile)
    with pytest.raises(LabelSpaceError, match="allow_pickle=False"):
        Centroids.load(tmp_path / "centroids.npz")
    np.save(tmp_path / "vectors.npy", hostile)
    (tmp_path / "vectors.npy.ids.txt").write_text("a\n")
    with pytest.raises(LabelSpaceError, match=r"vectors\.npy"):
        Embeddings.load(tmp_path / "vectors.npy")


@pytest.mark.parametrize(
    "content", [b"", b"no archive", pickle.dumps([1]), b"PK\x03\x04 cut off"], ids=range(4)
)
def test_what_is_no_label_space(tmp_path, content, zoo):
    path = tmp_path / "space.npz"
    level(zoo, "0").save(path)
    path.write_bytes(content)
    with pytest.raises(LabelSpaceError, match="not a label space"):
        LabelSpace.load(path)


def test_missing_or_broken_json(tmp_path, zoo):
    path = tmp_path / "space.npz"
    level(zoo, "0").save(path)
    beside = tmp_path / "space.npz.json"
    for text in ("[]", "{}", "{"):
        beside.write_text(text)
        with pytest.raises(LabelSpaceError, match="not a label space"):
            LabelSpace.load(path)
    beside.unlink()
    with pytest.raises(LabelSpaceError, match="not a label space"):
        LabelSpace.load(path)


def test_a_changed_file_is_noticed(tmp_path, zoo):
    path = tmp_path / "space.npz"
    level(zoo, "0").save(path)
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **(content | {"table": content["table"][::-1]}))
    with pytest.raises(LabelSpaceError, match="does not match the fingerprint"):
        LabelSpace.load(path)
    meta = json.loads((tmp_path / "space.npz.json").read_text())
    assert meta["num_classes"] == 4 and meta["keyed_by"] == "leaf"


def test_a_space_of_another_dataset_is_refused(images, zoo):
    with pytest.raises(LabelSpaceError, match="'random-unaligned-5' belongs to data other"):
        LabelSpace(
            ("a",), ("a",), np.zeros((1, 1), int), "image", ("x",), "random-unaligned-5", "other"
        ).check_belongs_to("mine", "the dataset")
    with pytest.raises(LabelSpaceError, match="make the label space again for this data"):
        images.check(level(zoo, "0"))


def test_a_table_of_floats_is_refused():
    with pytest.raises(LabelSpaceError, match="integers"):
        LabelSpace(("a",), ("a",), np.zeros((1, 1)))


def test_embeddings_are_found_by_id_and_stay_on_disk(tmp_path):
    np.save(tmp_path / "mine.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    (tmp_path / "names.txt").write_text("c\na\nb\n")
    found = Embeddings.load(tmp_path / "mine.npy", tmp_path / "names.txt")
    assert isinstance(found.vectors, np.memmap)
    assert found.vectors[found.rows_for(["a", "b", "c"])][:, 0].tolist() == [2, 4, 0]
    with pytest.raises(LabelSpaceError, match=r"2 of 3 images have no embedding.*'x', 'y'"):
        found.rows_for(["a", "x", "y"])


@pytest.mark.parametrize(
    "text", ["c\na\nbü\n", "c\na\nbü", "c\na\nbü\n\n\n", "c\r\na\r\nbü\r\n", "\ufeffc\na\nbü\n"]
)
def test_ids_are_read_piece_by_piece(tmp_path, monkeypatch, text):
    monkeypatch.setattr(embeddings, "_ID_BYTES", 3)
    np.save(tmp_path / "mine.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    (tmp_path / "mine.npy.ids.txt").write_bytes(text.encode())
    assert Embeddings.load(tmp_path / "mine.npy").image_ids == ("c", "a", "bü")


def test_a_long_file_of_ids_that_is_no_text(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "_ID_BYTES", 3)
    np.save(tmp_path / "mine.npy", np.zeros((3, 2), np.float32))
    (tmp_path / "mine.npy.ids.txt").write_bytes(b"abc\nd\nL\xf6we\n")
    with pytest.raises(LabelSpaceError, match="line 3"):
        Embeddings.load(tmp_path / "mine.npy")


def test_embeddings_that_do_not_fit(tmp_path):
    path = tmp_path / "mine.npy"
    with pytest.raises(LabelSpaceError, match=r"expected a \.npy of floats"):
        Embeddings.load(path)
    np.save(path, np.zeros((3, 2), np.float32))
    ids = tmp_path / "mine.npy.ids.txt"
    for text, message in [("a\nb\n", "3 rows, but 2"), ("a\nb\na\n", "1 image ids .* repeat")]:
        ids.write_text(text)
        with pytest.raises(LabelSpaceError, match=message):
            Embeddings.load(path)
    np.save(path, np.zeros((3, 2), int))
    ids.write_text("a\nb\nc\n")
    with pytest.raises(LabelSpaceError, match="must be float"):
        Embeddings.load(path)
