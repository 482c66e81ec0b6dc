"""A plain folder of images, embedded like a dataset."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fine2coarse.embeddings import embedding, encoders
from fine2coarse.embeddings.folder_images import SPLIT, FolderImages
from fine2coarse.errors import FailedError
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.preparation.image_files import ImageFilesError
from fine2coarse.training.engine import make_engine
from tests.exported_runs import write_sample


def mean_colour(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(images, [1, 2])


_ENCODER = encoders.Encoder(mean_colour, 8, {"kind": "mean colour"})
_COLOURS = {"b/red.png": (255, 0, 0), "a.bmp": (0, 51, 0), "c.tif": (0, 0, 102)}


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    folder = tmp_path / "photos"
    (folder / "b").mkdir(parents=True)
    for name, colour in _COLOURS.items():
        Image.new("RGB", (12, 9), colour).save(folder / name)
    (folder / "notes.txt").write_text("x")
    return folder


def embed(images: FolderImages, out: pathlib.Path, **options):
    strategy = make_engine("one_device")
    return embedding.embed_dataset(images, [SPLIT], _ENCODER, out, strategy, **options)


def test_rows_are_named_by_paths_below_the_folder(photos, tmp_path):
    found = embed(FolderImages(photos), tmp_path / "e.npy", batch_size=2)
    assert found.image_ids == ("a.bmp", "b/red.png", "c.tif")
    expected = np.asarray([_COLOURS[name] for name in found.image_ids], np.float32) / 255
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert found.dataset_fingerprint == ""  # joined by id, whatever the dataset
    assert found.rows_for(["c.tif", "a.bmp"], "f" * 64).tolist() == [2, 0]


def test_a_damaged_image_is_left_out_and_told(photos, tmp_path, told):
    (photos / "a0.png").write_bytes((photos / "b" / "red.png").read_bytes()[:60])
    images = FolderImages(photos)
    assert any("a0.png: truncated image" in line for line in told())
    assert embed(images, tmp_path / "e.npy").image_ids == ("a.bmp", "b/red.png", "c.tif")
    with pytest.raises(FailedError, match="1 of 4 images cannot be read"):
        images.check_all_were_read()
    FolderImages(photos / "b").check_all_were_read()


@pytest.mark.slow
def test_cut_off_it_goes_on_and_with_other_files_it_does_not(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_SAVE_EVERY_ROWS", 1)
    out = tmp_path / "e.npy"

    def cut(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(FolderImages(photos), out, batch_size=2, announce=cut)
    assert json.loads((tmp_path / "e.npy.partial.json").read_text())["num_done"] == 2
    seen = []
    embed(FolderImages(photos), out, batch_size=2, announce=lambda done, total: seen.append(done))
    assert seen == [3]
    with pytest.raises(KeyboardInterrupt):
        embed(FolderImages(photos), tmp_path / "f.npy", batch_size=2, announce=cut)
    Image.new("RGB", (3, 3)).save(photos / "d.png")
    with pytest.raises(LabelSpaceError, match="begun with another dataset, num_images"):
        embed(FolderImages(photos), tmp_path / "f.npy", batch_size=2)


def test_what_is_no_folder_of_images(photos):
    for path in (photos / "none", photos / "notes.txt"):
        with pytest.raises(ImageFilesError):
            FolderImages(path)
    with pytest.raises(LabelSpaceError, match="is a file; expected a folder"):
        FolderImages(photos / "a.bmp")
    (photos / "b" / "red.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(LabelSpaceError, match="none of its 1 images can be read"):
        FolderImages(photos / "b")


def test_an_export_s_encoder_is_that_of_its_run(tmp_path):
    sample = write_sample(tmp_path, "resnet_tiny", 8)
    images = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    encoder = encoders.make_encoder("export", sample.folder)
    of_run = encoders.make_encoder("run", str(sample.run))
    np.testing.assert_allclose(encoder.encode(images), of_run.encode(images), atol=1e-5)
    assert encoder.image_size_px == 8 and encoder.source["kind"] == "export"
    with pytest.raises(encoders.EncoderError, match="did not make; embed with it by --hub="):
        encoders.make_encoder("export", str(sample.run))
