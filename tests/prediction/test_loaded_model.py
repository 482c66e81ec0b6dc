"""Photographs classified by a run and by its export: the study's own preprocessing and numbers."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import fine2coarse
from fine2coarse.embeddings.encoders import make_encoder
from fine2coarse.errors import UsageError
from fine2coarse.input.augmentation import eval_image
from fine2coarse.input.examples import load_examples
from fine2coarse.input.feeds import eval_feed
from fine2coarse.prediction.csv_output import write_predictions
from fine2coarse.prediction.image_models import unique_names
from fine2coarse.prediction.loaded_model import LoadedModel, UnreadableImages
from fine2coarse.prediction.records import largest
from fine2coarse.preparation.image_checks import check_image
from fine2coarse.preparation.image_files import ImageFilesError, find_images
from fine2coarse.runs.phase_folder import RunError
from fine2coarse.training.engine import make_engine
from fine2coarse.training.evaluate import Predictor
from tests.exported_runs import CLASS_NAMES, Sample

_ORIENTATION = 0x0112


def drawn(seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """A picture that looks different on its side."""
    side = np.linspace(0, 255, size[0], dtype=np.uint8)
    pixels = np.random.default_rng(seed).integers(0, 60, (size[1], size[0], 3)).astype(np.uint8)
    pixels[..., 0] = side
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """What cameras and websites leave in a folder."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "trip").mkdir()
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    drawn(0).save(folder / "a.jpg", quality=95)
    drawn(1).save(folder / "trip" / "turned.jpg", exif=turned, quality=95)
    drawn(2).save(folder / "trip" / "print.tif")
    drawn(3, mode="RGBA").save(folder / "clear.png")
    drawn(4).save(folder / "no_ending", format="WebP")
    (folder / "taxonomy.csv").write_text("fine,coarse\n")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def model(classifier) -> LoadedModel:
    return fine2coarse.load(classifier.run)


def expected(model: LoadedModel, path: pathlib.Path) -> np.ndarray:
    """Probabilities float32 [K] of one file, without any code of the package `prediction`."""
    data = check_image(path.read_bytes()).data
    image = eval_image(tf.constant(data), model.image_size_px)[None]
    return tf.nn.softmax(model.keras_model(image, training=False)).numpy()[0]


def test_every_file_gets_the_probabilities_of_its_evaluation_crop(model, photos):
    names = ["a.jpg", "clear.png", "no_ending", "trip/print.tif", "trip/turned.jpg"]
    found = model.probabilities(photos)
    assert found.shape == (5, 4) and found.dtype == np.float32
    theirs = np.stack([expected(model, photos / name) for name in names])
    np.testing.assert_allclose(found, theirs, atol=1e-6)
    records = model.predict(photos, top=2)
    assert [record["file"] for record in records] == [str(photos / name) for name in names]
    for record, row in zip(records, theirs, strict=True):
        first, second = np.argsort(-row)[:2]
        assert (record["class"], record["class_2"]) == (CLASS_NAMES[first], CLASS_NAMES[second])
        assert record["probability"] == pytest.approx(row[first], abs=1e-6)
        assert "class_3" not in record and "fine_class" not in record


def test_it_is_turned_upright(model, photos, tmp_path):
    """The same pixels stored upright, without EXIF, are classified alike."""
    with Image.open(photos / "trip" / "turned.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png")
        image.convert("RGB").save(tmp_path / "lying.png")
    turned, upright, lying = model.probabilities(
        [photos / "trip" / "turned.jpg", tmp_path / "upright.png", tmp_path / "lying.png"]
    )
    np.testing.assert_allclose(turned, upright, atol=2e-3)  # a JPEG of quality 95 between them
    assert np.abs(turned - lying).max() > 10 * np.abs(turned - upright).max()


def test_the_export_gives_the_same(model, classifier, photos):
    export = fine2coarse.load(classifier.folder)
    assert export.classes == model.classes == CLASS_NAMES
    np.testing.assert_allclose(export.probabilities(photos), model.probabilities(photos), atol=1e-6)
    np.testing.assert_allclose(export.embed(photos), model.embed(photos), atol=1e-5)
    assert model.embed(photos).shape == (5, 64)
    with pytest.raises(RunError, match="is an export"):
        _ = export.keras_model


def test_an_export_without_its_head(resnet: Sample, photos, capsys):
    export = fine2coarse.load(resnet.folder)
    assert export.embed(photos / "a.jpg").shape == (1, 64) and export.classes == ()
    with pytest.raises(RunError, match="export the run again with --head"):
        export.predict(photos)
    with pytest.raises(RunError, match="export the run again with --head"):
        write_predictions(export, find_images([photos]).images, None)
    assert capsys.readouterr().out == ""


def test_a_saved_model_of_others(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "theirs"))
    with pytest.raises(RunError, match="expected a folder that `fine2coarse export` made"):
        fine2coarse.load(tmp_path / "theirs")


def test_a_damaged_export_is_no_bug(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "export"))
    (tmp_path / "export" / "recipe.json").write_text("{")
    with pytest.raises(RunError, match=r"recipe\.json: damaged"):
        fine2coarse.load(tmp_path / "export")
    with pytest.raises(RunError, match=r"recipe\.json: damaged"):
        make_encoder("export", str(tmp_path / "export"))


def test_the_same_numbers_as_the_evaluation_of_a_run(model, tmp_path):
    """Batches of one split, evaluated as a study does, and the same images as files."""
    images = [drawn(seed, (20, 20)) for seed in range(6)]
    encoded = []
    for number, image in enumerate(images):
        data = io.BytesIO()
        image.save(data, "PNG")
        encoded.append(data.getvalue())
        (tmp_path / f"{number}.png").write_bytes(data.getvalue())
    rows = {
        "image": encoded,
        "image_id": [str(number) for number in range(6)],
        "label": np.zeros(6, np.int64),
    }
    examples = load_examples(tf.data.Dataset.from_tensor_slices(rows))
    targets = np.zeros(6, np.int32)
    predicted = Predictor(make_engine("one_device"), model.keras_model)(
        eval_feed(examples, targets[:, None], batch_size=4, image_size_px=model.image_size_px),
        targets,
    )
    records = model.predict(tmp_path)
    assert [r["class"] for r in records] == [CLASS_NAMES[k] for k in predicted.predicted]
    logs = np.log(model.probabilities(tmp_path))
    margins = logs[:, 0] - logs[:, 1:].max(1)
    np.testing.assert_allclose(margins, predicted.margins, atol=1e-5)


def test_a_damaged_image_does_not_hide_the_others(model, photos, tmp_path, told):
    whole = (photos / "a.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole)
    (tmp_path / "2.jpg").write_bytes(whole[:200])
    with pytest.raises(UnreadableImages, match=r"1 of 2 images cannot be read: .*2\.jpg: trunc"):
        model.predict(tmp_path)
    found = model.predict(tmp_path, on_unreadable="skip")
    assert [record["file"] for record in found] == [str(tmp_path / "1.jpg")]
    assert any("left out: 1 of 2 images" in line for line in told())
    with pytest.raises(UnreadableImages):
        model.embed(tmp_path)


def test_what_is_no_image_is_told_before_anything_is_read(model, photos):
    with pytest.raises(UsageError, match="on_unreadable is 'raise' or 'skip', got 'ignore'"):
        model.predict("nowhere", on_unreadable="ignore")
    with pytest.raises(ImageFilesError, match=r"taxonomy\.csv is no image"):
        model.predict([photos / "a.jpg", photos / "taxonomy.csv"])


def test_names_that_several_classes_have():
    assert unique_names(["crane", "crow", "crane"], ["n1", "n2", "n3"]) == (
        "crane (n1)",
        "crow",
        "crane (n3)",
    )


def test_the_largest_of_many_are_those_of_a_whole_sort():
    values = np.random.default_rng(0).integers(0, 50, 1000).astype(np.float32)
    np.testing.assert_array_equal(largest(values, 7), np.argsort(-values, kind="stable")[:7])
    np.testing.assert_array_equal(largest(np.asarray([1, 3, 3, 0.0]), 9), [1, 2, 0, 3])
