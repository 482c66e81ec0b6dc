"""Vectors of one's own of any scale, joined with a dataset's images: the remedies of the errors."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.embeddings import embedding
from fine2coarse.embeddings.embedding import FinishSpec
from fine2coarse.embeddings.encoders import Encoder
from fine2coarse.labels.embeddings import Embeddings
from fine2coarse.labels.space import LabelSpaceError
from fine2coarse.training.tensorflow.engine import TensorFlowEngine

IDS = ("a", "b", "c", "d")


@dataclasses.dataclass(frozen=True)
class FakeDataset:
    """A prepared dataset of four images."""

    name: str = "fake"
    fingerprint: str = "f" * 64

    def index(self, split):
        del split
        return types.SimpleNamespace(image_ids=IDS)


def own(tmp_path, vectors) -> Embeddings:
    path = tmp_path / "mine.npy"
    np.save(path, vectors)
    path.with_name("mine.npy.ids.txt").write_text("\n".join(IDS) + "\n", "utf-8")
    return Embeddings.load(path)


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e200)]
)
def test_l2_is_the_remedy_that_the_error_names(tmp_path, dtype, factor):
    vectors = (np.asarray([[3, 4], [4, 3], [-3, 4], [0, 5]]) * factor).astype(dtype)
    given = own(tmp_path, vectors)
    for finish in (FinishSpec(), FinishSpec(num_pca_dims=1, l2=True)):
        with pytest.raises(LabelSpaceError, match=r"mine\.npy: .*--npy=.* --l2, without --pca"):
            embedding.adopt(given, FakeDataset(), ["train"], tmp_path / "e.npy", finish=finish)
    found = embedding.adopt(
        given, FakeDataset(), ["train"], tmp_path / "e.npy", finish=FinishSpec(l2=True)
    )
    np.testing.assert_allclose(
        found.vectors, [[0.6, 0.8], [0.8, 0.6], [-0.6, 0.8], [0, 1]], rtol=1e-6, atol=1e-7
    )
    found.check_values(np.arange(4))


def test_equal_rows_are_projected_and_zero_rows_are_refused(tmp_path):
    given = own(tmp_path, np.ones((4, 3), np.float32))
    out = tmp_path / "e.npy"
    found = embedding.adopt(given, FakeDataset(), ["train"], out, finish=FinishSpec(num_pca_dims=2))
    assert found.vectors.tolist() == [[0, 0]] * 4
    with pytest.raises(LabelSpaceError, match=r"4 vectors are zero .* of a; embed without --l2"):
        embedding.adopt(
            given, FakeDataset(), ["train"], out, finish=FinishSpec(num_pca_dims=2, l2=True)
        )


def test_half_precision_is_projected_in_full(tmp_path):
    vectors = np.asarray([[60_000, 0], [-60_000, 0], [0, 1], [0, -1]], np.float16)
    given = own(tmp_path, vectors)
    found = embedding.adopt(
        given, FakeDataset(), ["train"], tmp_path / "e.npy", finish=FinishSpec(num_pca_dims=1)
    )
    np.testing.assert_allclose(found.vectors[:, 0], [60_000, -60_000, 0, 0], rtol=1e-3, atol=1)


@pytest.mark.parametrize("value", [1e30, np.nan])
def test_an_encoder_of_absurd_values_is_stopped_at_the_first_image(value):
    batch = {
        "image": tf.ones([2, 4, 4, 3]) * tf.reshape([1.0, value], [2, 1, 1, 1]),
        "image_id": tf.constant(["a", "b"]),
        "weight": tf.ones([2]),
    }
    encoder = Encoder(lambda images: tf.reduce_mean(images, [1, 2]), 4, {"kind": "mean"})
    with pytest.raises(LabelSpaceError, match="for 1 of 2 images, the first b; expected vectors"):
        list(embedding._encoded([batch], encoder, TensorFlowEngine(tf.distribute.get_strategy())))


def test_a_damaged_partial_file_says_what_to_remove(tmp_path):
    out, plan = tmp_path / "e.npy", {"num_images": 4}
    raw = embedding._RawFile(out, plan)
    raw.append(np.zeros((2, 3), np.float32))
    raw._save()
    partial = tmp_path / "e.npy.partial.npy"
    partial.write_bytes(partial.read_bytes()[:-1])
    with pytest.raises(LabelSpaceError, match=r"partial\.npy: cannot be gone on with.*remove it"):
        embedding._RawFile(out, plan)
    partial.unlink()
    (tmp_path / "e.npy.partial.json").unlink()
    assert embedding._RawFile(out, plan).num_done == 0
