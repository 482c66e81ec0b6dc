"""Packing photographs: what is in a pack, and how it goes on where it was stopped."""

from __future__ import annotations

import errno
import io
import json
import os
import pathlib
import signal
import time

import numpy as np
import pytest
from PIL import Image

from fine2coarse import keras_settings
from fine2coarse.datasets.data_facts import describe_data
from fine2coarse.datasets.open import open_dataset
from fine2coarse.errors import UsageError, exit_code_of
from fine2coarse.packs import packing, writer
from fine2coarse.packs.layout import PackError, Pixels, choose_pixels, wanted_images
from fine2coarse.packs.pack import open_pack
from tests.packs.photographs import recipe_of, stored_file
from tests.processes import Process

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def opened(folder: pathlib.Path, image_id: str) -> Image.Image:
    return Image.open(io.BytesIO(stored_file(folder, image_id)))


def test_images_of_one_size_keep_their_pixels(photographs, tmp_path):
    recipe = photographs.recipe("even")
    dataset = photographs.pack(tmp_path, recipe).dataset("dataset")
    for split, count in (("train", 6), ("test", 3)):
        pixels, index = dataset.images(split), dataset.index(split)
        assert pixels.shape == (count, 6, 9, 3) and not dataset.changed_pixels(split)
        for image, image_id in zip(pixels, index.image_ids, strict=True):
            file = opened(photographs.root / "even", image_id)
            assert np.array_equal(image, np.asarray(file))


def test_a_pack_tells_what_its_dataset_tells(photographs, tmp_path):
    recipe = photographs.recipe("even")
    packed = photographs.pack(tmp_path, recipe).dataset("dataset")
    dataset = open_dataset("folder", recipe.dataset.options, photographs.data_dir)
    assert (packed.name, packed.fingerprint) == (dataset.name, dataset.fingerprint)
    assert packed.taxonomy.fingerprint == dataset.taxonomy.fingerprint
    assert packed.splits == dataset.splits == {"train": 6, "test": 3}
    facts = [json.loads(json.dumps(describe_data([which], []))) for which in (packed, dataset)]
    assert facts[0] == facts[1] and facts[0]["preparations"][0]["num_files"] == 9
    for split in dataset.splits:
        ours, theirs = packed.index(split), dataset.index(split)
        assert ours.image_ids == theirs.image_ids and ours.hard is None
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.array_equal(packed.digests(split), dataset.digests(split))


def test_squares_are_the_central_ones(photographs, tmp_path):
    dataset = photographs.pack(tmp_path).dataset("dataset")
    pixels, ids = dataset.images("train"), list(dataset.index("train").image_ids)
    assert pixels.shape == (6, 8, 8, 3)
    assert dataset.changed_pixels("train") == "squares 8 px"
    folder = photographs.root / "mixed"
    for image, image_id in zip(pixels, ids, strict=True):
        file = opened(folder, image_id)
        if file.size == (8, 8):  # nothing to resize
            assert np.array_equal(image, np.asarray(file))
        side, (width, height) = min(file.size), file.size
        left, top = (width - side) // 2, (height - side) // 2
        square = file.crop((left, top, left + side, top + side))
        resized = np.asarray(square.resize((8, 8), Image.Resampling.BILINEAR))
        assert np.abs(resized.astype(int) - image).max() <= 1


def test_the_shorter_side_only_shrinks(photographs, tmp_path):
    dataset = photographs.pack(tmp_path, None, "shorter_side", 9).dataset("dataset")
    images, ids = dataset.images("train"), list(dataset.index("train").image_ids)
    folder, shapes = photographs.root / "mixed", set()
    for row, image_id in enumerate(ids):
        file, pixels = opened(folder, image_id), images.decoded(row)
        shapes.add((file.size[::-1], pixels.shape))
        if min(file.size) <= 9:
            assert np.array_equal(pixels, np.asarray(file))
    # 12 × 10 becomes 10.8 × 9; the others are small enough.
    assert shapes == {
        ((12, 10), (11, 9, 3)),
        ((9, 20), (9, 20, 3)),
        ((8, 8), (8, 8, 3)),
    }
    assert dataset.changed_pixels("train") == "shorter side 9 px"
    assert sum(part["num_changed"] for part in dataset.pack.content["parts"]) == 3


def test_encoded_files_are_kept(photographs, tmp_path):
    dataset = photographs.pack(tmp_path, None, "encoded").dataset("dataset")
    images, ids = dataset.images("test"), list(dataset.index("test").image_ids)
    chosen = images.rows(np.asarray([2, 0]))
    assert len(images) == 3 and len(chosen) == 2 and images.dtype.name == "bytes"
    for row, image_id in zip(range(2), (ids[2], ids[0]), strict=True):
        file = stored_file(photographs.root / "mixed", image_id)
        assert chosen.encoded(row) == file and chosen[row].numpy() == file
        assert np.array_equal(chosen.decoded(row), np.asarray(Image.open(io.BytesIO(file))))
    assert not dataset.changed_pixels("test")


@pytest.mark.parametrize(
    ("crop", "even", "given", "chosen"),
    [
        ("inception", True, (None, None), Pixels("stored")),
        ("shift", False, (None, None), Pixels("squares", 8)),
        ("inception", False, (None, None), Pixels("shorter_side", 10)),  # 8 · 8/7 is 9.1
        ("none", False, ("encoded", None), Pixels("encoded")),
        ("none", True, (None, 5), Pixels("squares", 5)),
        ("none", True, ("shorter_side", 6), Pixels("shorter_side", 6)),
    ],
)
def test_what_becomes_of_the_pixels(crop, even, given, chosen):
    recipe = recipe_of(pathlib.Path("own"), crop)
    assert choose_pixels(recipe, even, *given)[0] == chosen


def test_files_have_no_size_to_choose():
    with pytest.raises(PackError, match="leave it out"):
        choose_pixels(recipe_of(pathlib.Path("own")), False, "encoded", 8)


def test_the_splits_that_a_recipe_reads():
    elsewhere = {"name": "folder", "options": {"source": "b", "flat": True}, "split": "val"}
    own = {"name": "folder", "options": {"source": "a"}}
    recipe = recipe_of(pathlib.Path("a"), dataset={**own, "train_split": "train[:50%]"})
    assert wanted_images(recipe)["dataset"].splits == ("train[:50%]", "test")
    recipe = recipe_of(pathlib.Path("a"), transfer_dataset=own, evaluation=elsewhere)
    splits = {role: wanted.splits for role, wanted in wanted_images(recipe).items()}
    assert splits == {
        "dataset": ("train",), "transfer_dataset": ("train",), "evaluation": ("val",),
    }  # fmt: skip


def test_parts_of_splits_and_datasets_of_several_roles(photographs, tmp_path):
    options = {"source": str(photographs.root / "mixed")}
    recipe = photographs.recipe(
        dataset={"name": "folder", "options": options, "train_split": "train[:50%]"},
        evaluation={
            "name": "folder",
            "options": {"source": str(photographs.root / "even")},
            "split": "train",
        },
    )
    pack = photographs.pack(tmp_path, recipe)
    dataset, evaluation = pack.dataset("dataset"), pack.dataset("evaluation")
    assert len(dataset.images("train[:50%]")) == 3 and len(evaluation.images("train")) == 6
    assert dataset.fingerprint != evaluation.fingerprint
    with pytest.raises(PackError, match=r"does not hold split 'test' of .*train\[:50%\]"):
        dataset.index("test")
    with pytest.raises(PackError, match=r"nothing for config.transfer_dataset"):
        pack.dataset("transfer_dataset")


class Stopped(Exception):
    """In place of a kill."""


def stop_after(monkeypatch, num_chunks: int, error: Exception) -> None:
    """Chunks of two images, of which so many are written whole; of the next one a part."""
    monkeypatch.setattr(packing, "_CHUNK_IMAGES", 2)
    append, count = writer._append, iter(range(100))

    def failing(path, data):
        if path.name == "pixels.npy" and next(count) == num_chunks:
            append(path, data[:5])
            raise error
        append(path, data)

    monkeypatch.setattr(writer, "_append", failing)


@pytest.mark.parametrize("how", [("squares", 8), ("shorter_side", 9), ("encoded", None)])
def test_goes_on_where_it_was_stopped(photographs, tmp_path, monkeypatch, told, how):
    whole = photographs.pack(tmp_path / "whole", None, *how)
    for num_chunks in (0, 2, 2):  # of three of train and two of test
        with monkeypatch.context() as patch:
            stop_after(patch, num_chunks, Stopped())
            with pytest.raises(Stopped):
                photographs.pack(tmp_path / "out", None, *how)
        with pytest.raises(PackError, match="no whole pack"):
            open_pack(tmp_path / "out")
    told()
    again = photographs.pack(tmp_path / "out", None, *how)
    assert "test: 2 images are there already" in "".join(told())
    assert again.content == whole.content and again.verify() >= 8
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert not names & {"plan.json", "part.json", "journal.json", "sizes.bin"}


def test_a_journal_without_its_pixels_begins_again(photographs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2, Stopped())
        with pytest.raises(Stopped):
            photographs.pack(tmp_path)
    (tmp_path / "part0/pixels.npy").write_bytes(b"short")
    assert photographs.pack(tmp_path).verify() == 8


def test_a_full_disk_is_told_and_goes_on(photographs, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patch:
        stop_after(patch, 1, full)
        with pytest.raises(OSError) as raised:
            photographs.pack(tmp_path)
    assert exit_code_of(raised.value) == 3
    assert photographs.pack(tmp_path).verify() == 8


def test_nothing_is_done_twice(photographs, tmp_path, told):
    photographs.pack(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told()
    photographs.pack(tmp_path)
    assert "nothing is to be done" in told()[-1]
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_other_folders_are_refused(photographs, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(PackError, match=r"other files, such as \['notes.txt'\]"):
        photographs.pack(tmp_path)
    with pytest.raises(PackError, match="is a file"):
        photographs.pack(tmp_path / "notes.txt")
    photographs.pack(tmp_path / "pack")
    for recipe, how in ((None, ("encoded",)), (photographs.recipe("even"), ())):
        with pytest.raises(PackError, match=r"another pack, of folder: .* Choose another --out"):
            photographs.pack(tmp_path / "pack", recipe, *how)


def test_changed_photographs_are_another_pack(photographs, tmp_path):
    source = tmp_path / "own"
    recipe_folder = photographs.root / "even"
    for path in recipe_folder.rglob("*"):
        if path.is_file():
            target = source / path.relative_to(recipe_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    recipe = recipe_of(source)
    photographs.pack(tmp_path / "pack", recipe)
    (source / "train/pear/train0.png").unlink()
    with pytest.raises(PackError, match="holds another pack"):
        photographs.pack(tmp_path / "pack", recipe)


def test_packing_needs_tensorflow(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: False)
    with pytest.raises(UsageError, match=r"packing needs TensorFlow.*copy the folder") as raised:
        photographs.pack(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_killed_at_random_it_ends_with_the_same_bytes(photographs, tmp_path):
    whole = photographs.pack(tmp_path / "whole", None, "encoded")
    out, program = tmp_path / "out", pathlib.Path(__file__).with_name("killable_packing.py")
    arguments = (str(photographs.root / "mixed"), photographs.data_dir, str(out))
    generator, num_kills, codes = np.random.default_rng(0), 0, [-signal.SIGKILL]
    while codes[-1] == -signal.SIGKILL:
        begun = tmp_path / "out.begun"
        begun.unlink(missing_ok=True)
        process = Process(program, arguments, {**os.environ, "PYTHONPATH": str(_ROOT)})
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        # Each of nine images takes 0.08 s at least, opening the dataset some 0.2 s.
        time.sleep(generator.uniform(0.2, 0.7))
        if num_kills < 6 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            num_kills += 1
        _, errors = process.communicate(timeout=120)
        codes.append(process.returncode)
    assert codes[-1] == 0 and num_kills >= 2, errors
    assert open_pack(out).content == whole.content and open_pack(out).verify() == whole.verify()


def test_a_pack_lies_on_a_disk(photographs):
    with pytest.raises(PackError, match="expected a folder on a disk"):
        photographs.pack("gs://bucket/pack")
    with pytest.raises(PackError, match="copy it to a disk"):
        open_pack("gs://bucket/pack")


def test_images_that_are_not_as_their_headers_say_are_refused(tmp_path):
    images = writer.SplitWriter(tmp_path, "even", [2, 1, 3])
    with pytest.raises(PackError, match=r"is \[1, 2, 3\], expected \[2, 1, 3\].*--pixels=squares"):
        images.append([np.zeros((1, 2, 3), np.uint8)], 0)
    assert images.num_images == 0
