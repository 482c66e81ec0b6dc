"""Weights from one model into another: all of them, or an error that lists both models'."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from fine2coarse.errors import UsageError

_POSITION_LAYER = "position_embedding"


class WeightsError(UsageError):
    """Weights that do not fit the model they are meant for."""


def copy_weights(model: keras.layers.Layer, source: keras.layers.Layer, what: str) -> None:
    """Sets all weights of a model to those of another of the same make: see `put_weights`."""
    named = [(w.path, keras.ops.convert_to_numpy(w)) for w in source.weights]
    put_weights(model, named, what)


def put_weights(
    model: keras.layers.Layer, source: Sequence[tuple[str, np.ndarray]], what: str
) -> None:
    """Sets all weights of a model to given values.

    A ViT's position embeddings are resized where the images differ in size.

    Args:
      model: whose weights are set.
      source: path (as Keras tells it) and value of each weight, in the model's order.
      what: what errors call the source.

    Raises:
      WeightsError: where a name or shape does not fit; nothing is set then.
    """
    ours = [(_role(w.path), tuple(w.shape)) for w in model.weights]
    theirs = [(_role(path), value.shape) for path, value in source]
    values = []
    if len(ours) == len(theirs):
        for (name, shape), (other, _), (_, value) in zip(ours, theirs, source, strict=True):
            if name == other and _POSITION_LAYER in name and value.shape != shape:
                value = resize_positions(value, shape[0])
            if name != other or value.shape != shape:
                break
            values.append(value)
    if len(values) != len(ours):
        raise WeightsError(_difference(ours, theirs, model.name, what))
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)


def resize_positions(embeddings: np.ndarray, num_positions: int) -> np.ndarray:
    """Resizes a ViT's position embeddings bilinearly on their grid.

    Dosovitskiy et al., arXiv 2010.11929, section 3.2. The first row, the class token's, stays.

    Args:
      embeddings: float [1 + g², D].
      num_positions: 1 + h² wanted.

    Raises:
      WeightsError: where one of both is not a class token and a square grid.
    """
    before, after = (round((count - 1) ** 0.5) for count in (len(embeddings), num_positions))
    if before**2 + 1 != len(embeddings) or after**2 + 1 != num_positions:
        raise WeightsError(
            f"position embeddings: expected 1 + a square number, got {len(embeddings)} and "
            f"{num_positions}"
        )
    grid = embeddings[1:].reshape(1, before, before, -1)
    resized = keras.ops.image.resize(grid, (after, after), interpolation="bilinear")
    resized = keras.ops.convert_to_numpy(resized).reshape(after**2, -1)
    return np.concatenate([embeddings[:1], resized]).astype(embeddings.dtype)


def _role(path: str) -> str:
    """The last two parts of a path without counters: `x/conv2d_7/kernel` is `conv2d/kernel`."""
    layer, _, weight = "/".join(path.split("/")[-2:]).rpartition("/")
    return f"{layer.rstrip('0123456789').rstrip('_')}/{weight}"


def _difference(ours: list, theirs: list, name: str, what: str) -> str:
    only_ours = [entry for entry in ours if entry not in theirs][:5]
    only_theirs = [entry for entry in theirs if entry not in ours][:5]
    return (
        f"{what}: its weights do not fit {name} ({len(theirs)} there, {len(ours)} wanted); only "
        f"wanted: {only_ours}; only there: {only_theirs}; choose the same backbone, image size "
        "and stem as there"
    )
