"""Reading a pack: what is refused, and that it takes neither TensorFlow nor the dataset."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from fine2coarse.packs.images import PackedImages
from fine2coarse.packs.layout import PackError
from fine2coarse.packs.pack import open_pack
from tests.packs.photographs import recipe_of

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def pack(photographs, tmp_path):
    return photographs.pack(tmp_path / "pack")


def test_a_recipe_of_the_same_images_is_taken(photographs, pack):
    pack.check(photographs.recipe())
    pack.check(photographs.recipe(crop="inception", seeds=[1, 2]))


def test_other_images_are_refused(photographs, pack, told):
    source = {"source": str(photographs.root / "mixed")}
    for changes, told_of in (
        ({"options": {**source, "flat": True}}, "flat=True: train, test"),
        ({"train_split": "train[:50%]"}, r"folder: train\[:50%\], test"),
        ({"name": "demo", "options": {"seed": 3}}, "demo seed=3: train, test"),
    ):
        recipe = photographs.recipe(
            dataset={"name": "folder", "options": source, **changes},
            target={"source": "per_image"},
        )
        with pytest.raises(PackError, match=f"{told_of}.*fine2coarse pack --config=CARD"):
            pack.check(recipe)
    assert not told()


def test_another_place_of_the_images_is_told(pack, told):
    pack.check(recipe_of(pathlib.Path("moved")))
    assert len(told()) == 1


def test_what_is_not_whole_is_refused(pack, tmp_path):
    with pytest.raises(PackError, match="no whole pack"):
        open_pack(tmp_path)
    labels = pack.folder / "part1/labels.npy"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-1])
    with pytest.raises(PackError, match=f"has {len(whole) - 1} bytes, expected {len(whole)}"):
        open_pack(pack.folder)
    labels.unlink()
    with pytest.raises(PackError, match="is missing"):
        open_pack(pack.folder)


def test_a_flipped_bit_is_found_by_reading_all(pack):
    pixels = pack.folder / "part0/pixels.npy"
    content = bytearray(pixels.read_bytes())
    content[-1] ^= 1
    pixels.write_bytes(content)
    (pack.folder / "taxonomy0.json").write_text("{}")
    with pytest.raises(PackError, match=r"2 files are damaged: part0/pixels.npy, taxonomy0.json"):
        open_pack(pack.folder).verify()


def test_what_cannot_be_read_is_named(pack):
    """Files of the right size with other content, which opening does not read."""
    part = pack.folder / "part0"
    labels = bytearray((part / "labels.npy").read_bytes())
    labels[-4:] = b"\xff\xff\xff\x7f"
    (part / "labels.npy").write_bytes(labels)
    (part / "pixels.npy").write_bytes(b"x" * (part / "pixels.npy").stat().st_size)
    dataset = open_pack(pack.folder).dataset("dataset")
    with pytest.raises(PackError, match=r"labels\.npy is damaged.*--verify"):
        dataset.index("train")
    with pytest.raises(PackError, match=r"pixels\.npy is damaged"):
        dataset.images("train")
    (pack.folder / "taxonomy0.json").write_text("{}")
    with pytest.raises(PackError, match=r"taxonomy0\.json is damaged"):
        _ = open_pack(pack.folder).dataset("dataset").taxonomy


def test_a_later_version_is_refused(pack):
    path = pack.folder / "pack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 2}))
    with pytest.raises(PackError, match="version 2 of a pack, expected 1"):
        open_pack(pack.folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"part0"', '"../part0"'),
        ('"part0"', '"/part0"'),
        ('"pixels.npy"', '"../pixels.npy"'),
        ('"taxonomy0.json"', '".."'),
        ('"datasets"', '"others"'),
    ],
)
def test_names_that_lead_out_of_the_folder_and_missing_entries_are_refused(pack, old, new):
    path = pack.folder / "pack.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(PackError, match=r"pack\.json is damaged \("):
        open_pack(pack.folder)


def test_arrays_are_plain_files_that_numpy_maps(pack):
    pixels = np.load(pack.folder / "part0/pixels.npy", mmap_mode="r", allow_pickle=False)
    assert pixels.shape == (6, 8, 8, 3) and pixels.dtype == np.uint8


def test_rows_of_images_of_several_sizes():
    shapes = np.asarray([[1, 2], [2, 1], [1, 1]], np.int32)
    images = PackedImages(np.arange(15, dtype=np.uint8), np.asarray([0, 6, 12, 15]), shapes)
    assert images.decoded(1).tolist() == [[[6, 7, 8]], [[9, 10, 11]]]
    some = images.rows(np.asarray([2, 1]))
    assert some.decoded(0).tolist() == [[[12, 13, 14]]]
    assert np.array_equal(some.rows(np.asarray([1])).in_memory().decoded(0), images.decoded(1))
    assert images[2].numpy().tolist() == [[[12, 13, 14]]]


@pytest.mark.slow
def test_neither_tensorflow_nor_tfds_is_imported(photographs, pack):
    code = f"""
import sys
sys.modules["tensorflow"] = sys.modules["tensorflow_datasets"] = None  # cannot be imported
from fine2coarse.studies.open_study import open_study
from tests.packs.photographs import recipe_of
import pathlib
recipe = recipe_of(pathlib.Path({str(photographs.root / "mixed")!r}))
data = open_study(recipe, "nowhere", packed={str(pack.folder)!r})
print(len(data.train), len(data.evaluate), data.packed_pixels)
"""
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=_ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert shown.stdout == "6 3 squares 8 px\n", shown.stderr
