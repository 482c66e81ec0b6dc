"""Embeddings: rows by id, resumed after a kill, from every kind of model, projected and scaled."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.datasets.open import open_dataset
from fine2coarse.embeddings import embedding, encoders
from fine2coarse.input.examples import load_examples
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.sources import level
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.models import BackboneSpec
from fine2coarse.recipes.phase_spec import AugmentSpec, PhaseSpec
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.studies.label_spaces import indexed_context
from fine2coarse.training.engine import make_engine

SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return make_engine("one_device")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    options = {"num_train": 70, "num_test_easy": 20, "num_test_hard": 10}
    return open_dataset("demo", options, str(tmp_path_factory.mktemp("data")))


def mean_colour(images: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(images, [1, 2])


@pytest.fixture
def colours() -> encoders.Encoder:
    return encoders.Encoder(mean_colour, 32, {"kind": "mean colour"})


def expected_colours(dataset) -> np.ndarray:
    pixels = [load_examples(dataset.read(split)).images.numpy() for split in SPLITS]
    return np.concatenate(pixels).mean((1, 2)) / 255


@pytest.mark.slow
def test_every_row_is_its_own_image_s(dataset, strategy, colours, tmp_path):
    out = tmp_path / "e.npy"
    found = embedding.embed_dataset(dataset, SPLITS, colours, out, strategy, batch_size=16)
    assert isinstance(found.vectors, np.memmap) and found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, expected_colours(dataset), atol=1e-6)
    assert found.image_ids == (*dataset.index("train").image_ids, *dataset.index("test").image_ids)
    assert found.dataset_fingerprint == dataset.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "e.npy",
        "e.npy.ids.txt",
        "e.npy.json",
    ]
    rows = found.rows_for(indexed_context(dataset, "train").images.image_ids, dataset.fingerprint)
    np.testing.assert_array_equal(rows, np.arange(100))


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.slow
def test_cut_off_it_goes_on_and_ends_the_same(dataset, strategy, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "_SAVE_EVERY_ROWS", 32)
    whole = embedding.embed_dataset(
        dataset, SPLITS, colours, tmp_path / "whole.npy", strategy, batch_size=16
    )
    out, calls = tmp_path / "cut.npy", []

    def kill_at_48(done: int, total: int) -> None:
        calls.append(done)
        if done == 48 and len(calls) < 4:
            raise KilledError

    with pytest.raises(KilledError):
        embedding.embed_dataset(
            dataset, SPLITS, colours, out, strategy, batch_size=16, announce=kill_at_48
        )
    assert not out.exists()
    embedding.embed_dataset(
        dataset, SPLITS, colours, out, strategy, batch_size=16, announce=kill_at_48
    )
    assert calls == [16, 32, 48, 48, 64, 80, 96, 100]  # 48 was not saved, 32 was
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert whole.image_ids == Embeddings.load(out).image_ids


def test_a_partial_file_of_another_model_is_refused(
    dataset, strategy, colours, tmp_path, monkeypatch
):
    monkeypatch.setattr(embedding, "_SAVE_EVERY_ROWS", 16)

    def kill(done: int, total: int) -> None:
        raise KilledError

    arguments = (tmp_path / "e.npy", strategy)
    with pytest.raises(KilledError):
        embedding.embed_dataset(dataset, SPLITS, colours, *arguments, batch_size=16, announce=kill)
    other = encoders.Encoder(mean_colour, 32, {"kind": "another"})
    with pytest.raises(LabelSpaceError, match="begun with another source"):
        embedding.embed_dataset(dataset, SPLITS, other, *arguments, batch_size=16)


def test_pca_is_scikit_learn_s_fitted_on_the_training_images(dataset, strategy, colours, tmp_path):
    decomposition = pytest.importorskip("sklearn.decomposition")
    found = embedding.embed_dataset(
        dataset,
        SPLITS,
        colours,
        tmp_path / "e.npy",
        strategy,
        finish=embedding.FinishSpec(num_pca_dims=2),
    )
    raw = expected_colours(dataset)
    theirs = decomposition.PCA(2).fit(raw[:70]).transform(raw)
    signs = np.sign((theirs * found.vectors).sum(0))
    np.testing.assert_allclose(found.vectors * signs, theirs, atol=1e-5)


def test_l2_comes_last(dataset, strategy, colours, tmp_path):
    finish = embedding.FinishSpec(num_pca_dims=2, l2=True)
    found = embedding.embed_dataset(
        dataset, SPLITS, colours, tmp_path / "e.npy", strategy, finish=finish
    )
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1.0, rtol=1e-5)
    assert json.loads((tmp_path / "e.npy.json").read_text())["source"] == {
        "kind": "mean colour",
        "num_pca_dims": 2,
        "l2": True,
    }


def test_pca_to_more_dimensions_than_there_are(dataset, strategy, colours, tmp_path):
    with pytest.raises(LabelSpaceError, match="PCA to 4 dimensions; expected 1 to 3"):
        embedding.embed_dataset(
            dataset,
            SPLITS,
            colours,
            tmp_path / "e.npy",
            strategy,
            finish=embedding.FinishSpec(num_pca_dims=4),
        )


def test_an_encoder_that_gives_nan(dataset, strategy, tmp_path):
    broken = encoders.Encoder(lambda x: mean_colour(x) * np.nan, 32, {"kind": "broken"})
    with pytest.raises(LabelSpaceError, match="NaN or infinity"):
        embedding.embed_dataset(dataset, SPLITS, broken, tmp_path / "e.npy", strategy)


def test_vectors_of_one_s_own_are_joined_by_id(dataset, tmp_path):
    ids = list(dataset.index("test").image_ids)
    mine = np.random.default_rng(0).random((31, 4), np.float32)
    given = Embeddings(mine, ("stranger", *reversed(ids)))
    found = embedding.adopt(given, dataset, ["test"], tmp_path / "e.npy")
    np.testing.assert_array_equal(found.vectors, mine[:0:-1])
    short = Embeddings(mine[:10], tuple(ids[:10]))
    with pytest.raises(LabelSpaceError, match="20 of 30 images have no embedding"):
        embedding.adopt(short, dataset, ["test"], tmp_path / "e.npy")


@pytest.mark.slow
def test_the_backbone_of_a_finished_run(dataset, strategy, tmp_path):
    train = load_examples(dataset.read("train"))
    run = PhaseRun(
        purpose="pretrain",
        space=level(dataset.taxonomy, "fine"),
        phase=PhaseSpec(2, 8, augment=AugmentSpec(crop="none", flip=False)),
        backbone=BackboneSpec("resnet_tiny", 32),
        seed=0,
        precision="float32",
        train=train,
        evaluate=None,
        dataset_fingerprint=dataset.fingerprint,
    )
    with pytest.raises(RunError):
        encoders.from_run(tmp_path / "run")
    execute(run, PhaseFolder(tmp_path / "run"), strategy)
    encoder = encoders.from_run(tmp_path / "run")
    assert encoder.source["trained_on"] == "fine" and encoder.image_size_px == 32
    found = embedding.embed_dataset(dataset, SPLITS, encoder, tmp_path / "e.npy", strategy)
    assert found.vectors.shape == (100, 64)
    images = train.images[:3].numpy().astype(np.float32) / 255
    np.testing.assert_allclose(found.vectors[:3], encoder.encode(images), rtol=1e-4, atol=1e-5)


def save_preset(folder: pathlib.Path, backbone: keras.Model, converter: keras.layers.Layer) -> str:
    backbone.save_to_preset(str(folder))
    converter.save_to_preset(str(folder))
    return str(folder)


def test_a_preset_with_a_map_is_averaged_and_pixels_scaled_its_way(tmp_path):
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 128],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
    )
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(24, 24), scale=[1 / 255, 1 / 127.5, 2 / 255], offset=[0.0, -1.0, 0.5]
    )
    encoder = encoders.from_preset(save_preset(tmp_path / "preset", backbone, converter))
    assert encoder.image_size_px == 24
    images = np.random.default_rng(0).random((2, 24, 24, 3), np.float32)
    theirs = backbone.predict(converter(images * 255), verbose=0).mean((1, 2))
    np.testing.assert_allclose(encoder.encode(images), theirs, rtol=1e-4, atol=1e-5)


def test_a_clip_preset_gives_projected_image_embeddings(tmp_path):
    import keras_hub

    vision = keras_hub.models.CLIPVisionEncoder(
        patch_size=8, hidden_dim=16, num_layers=1, num_heads=2, intermediate_dim=16,
        image_shape=(16, 16, 3),
    )  # fmt: skip
    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=8, embedding_dim=16, hidden_dim=16, num_layers=1, num_heads=2,
        intermediate_dim=16, max_sequence_length=4,
    )  # fmt: skip
    backbone = keras_hub.models.CLIPBackbone(vision, text, projection_dim=5)
    converter = keras_hub.layers.CLIPImageConverter(image_size=(16, 16), scale=1 / 255)
    encoder = encoders.from_preset(save_preset(tmp_path / "clip", backbone, converter))
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    np.testing.assert_allclose(
        encoder.encode(images), backbone.get_vision_embeddings(images), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(encoders.EncoderError, match="takes images of 16 px, not 32"):
        encoders.from_preset(str(tmp_path / "clip"), image_size_px=32)


def test_a_vit_preset_gives_its_class_token(tmp_path):
    import keras_hub

    backbone = keras_hub.models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    converter = keras_hub.layers.ViTImageConverter(image_size=(16, 16), scale=1 / 255)
    encoder = encoders.from_preset(save_preset(tmp_path / "vit", backbone, converter))
    images = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    tokens = backbone.predict(images, verbose=0)
    np.testing.assert_allclose(encoder.encode(images), tokens[:, 0], rtol=1e-4, atol=1e-5)


def test_no_preset(tmp_path):
    with pytest.raises(encoders.EncoderError, match="cannot be loaded"):
        encoders.from_preset(str(tmp_path / "nothing"))


class Reusable(tf.Module):
    """A reusable SavedModel that gives each image's mean colour, twice as bright."""

    def __init__(self) -> None:
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def __call__(self, images):
        return self.factor * mean_colour(images)


@pytest.mark.slow
def test_a_saved_model_folder(dataset, strategy, tmp_path):
    tf.saved_model.save(Reusable(), str(tmp_path / "model"))
    with strategy.scope():
        encoder = encoders.from_hub(str(tmp_path / "model"), image_size_px=32)
    found = embedding.embed_dataset(dataset, SPLITS, encoder, tmp_path / "e.npy", strategy)
    np.testing.assert_allclose(found.vectors, 2 * expected_colours(dataset), atol=1e-5)


def test_what_is_no_model(tmp_path):
    with pytest.raises(encoders.EncoderError, match="cannot be loaded as a SavedModel"):
        encoders.from_hub(str(tmp_path))
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(encoders.EncoderError, match="cannot be called with images"):
        encoders.from_hub(str(tmp_path / "empty"))
