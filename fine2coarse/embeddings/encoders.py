"""What turns images into embeddings: a finished run, a KerasHub preset, a TF Hub model."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fine2coarse.errors import UsageError
from fine2coarse.labels.space import UNREADABLE
from fine2coarse.runs.classifiers import load_classifier
from fine2coarse.runs.phase_folder import WEIGHTS, PhaseFolder
from fine2coarse.runs.presets import import_keras_hub
from fine2coarse.runs.run_folders import export_recipe

DEFAULT_IMAGE_SIZE_PX = 224
FEATURES = "image_feature_vector"
"""Signature of a SavedModel that gives features, one of TF Hub's common ones."""


class EncoderError(UsageError):
    """A model that cannot be loaded, or gives no vector for an image."""


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A frozen model.

    Attributes:
      encode: images float32 [B, S, S, 3] in [0, 1] to vectors float [B, D].
      image_size_px: S.
      source: which model, JSON-able; the same weights say the same.
    """

    encode: Callable[[tf.Tensor], tf.Tensor]
    image_size_px: int
    source: Mapping[str, Any]


KINDS = ("run", "export", "preset", "hub")


def make_encoder(kind: str, name: str, image_size_px: int = 0) -> Encoder:
    """The encoder of a finished run, an export, a KerasHub preset or a TF Hub model.

    Args:
      kind: one of `KINDS`.
      name: the run's or export's folder, or the preset's or hub's name or folder.
      image_size_px: side of the images where the model leaves it open.

    Raises:
      RunError: where there is no finished run.
      EncoderError: where the model cannot be loaded, or gives no vector for an image.
    """
    if kind == "run":
        return from_run(pathlib.Path(name))
    if kind == "export":
        return from_export(pathlib.Path(name))
    return {"preset": from_preset, "hub": from_hub}[kind](name, image_size_px)


def from_export(path: pathlib.Path) -> Encoder:
    """The backbone of an export, with or without its head, by the signature of its features.

    Raises:
      EncoderError: where it is no export of `fine2coarse export`, or cannot be loaded.
      RunError: where its recipe is damaged.
    """
    recipe = export_recipe(path)
    if not recipe:
        raise EncoderError(
            f"{path}: a SavedModel that `fine2coarse export` did not make; embed with it by "
            f"--hub={path}"
        )
    try:
        loaded = tf.saved_model.load(str(path))
        weights = [variable.numpy() for variable in loaded.signatures[FEATURES].variables]
    except UNREADABLE as error:
        raise EncoderError(f"{path}: cannot be loaded: {error}; export it again") from error
    source = {
        "kind": "export",
        "backbone": recipe["backbone"].get("name", "saved-model"),
        "trained_on": recipe["label_space"]["name"],
        "seed": recipe["seed"],
        "weights": _digest(weights),
    }

    def encode(images: tf.Tensor) -> tf.Tensor:
        return loaded.signatures[FEATURES](images=images)["default"]  # it holds the variables

    return Encoder(
        encode,
        recipe["backbone"]["image_size_px"],
        source,
    )


def from_run(path: pathlib.Path) -> Encoder:
    """The backbone of a finished run, in inference mode.

    Raises:
      RunError: where there is no finished run.
    """
    classifier = load_classifier(path)
    recipe = PhaseFolder(path).recipe()
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
    digest.update((path / WEIGHTS).read_bytes())
    labels = recipe["label_space"]
    source = {
        "kind": "run",
        "run": digest.hexdigest(),
        "backbone": recipe["backbone"]["name"],
        "trained_on": labels["name"],
        "seed": recipe["seed"],
    }
    return Encoder(classifier.predict_features, recipe["backbone"]["image_size_px"], source)


def from_preset(name: str, image_size_px: int = 0) -> Encoder:
    """A KerasHub preset: CLIP's projected image embeddings, or a backbone's pooled features.

    Backbones that give a map are averaged over it; of those that give tokens the class token is
    taken. Pixels are scaled as the preset's own image converter does.

    Args:
      name: e.g. `clip_vit_large_patch14` (used by Hong et al., arXiv 2303.16887), or a folder
        that `save_to_preset` wrote.
      image_size_px: side of the images where the model leaves it open; 0 for the converter's.

    Raises:
      EncoderError: where the preset cannot be loaded, or its family is not known to give
        a vector for an image.
      UsageError: where KerasHub is not installed.
    """
    keras_hub = import_keras_hub()
    try:
        backbone = keras_hub.models.Backbone.from_preset(name)
        converter = keras_hub.layers.ImageConverter.from_preset(name)
    except Exception as error:  # Kaggle's client, the network and KerasHub each have their own
        raise EncoderError(
            f"KerasHub preset {name!r} cannot be loaded: {error}. Presets are downloaded on first "
            "use; a folder written by save_to_preset works without a network"
        ) from error
    fixed = _fixed_size_px(backbone)
    if fixed and image_size_px not in (0, fixed):
        raise EncoderError(f"preset {name!r} takes images of {fixed} px, not {image_size_px}")
    size_px = fixed or image_size_px or (converter.image_size or (DEFAULT_IMAGE_SIZE_PX,))[0]
    pooled = _pooled(backbone)

    def encode(images: tf.Tensor) -> tf.Tensor:
        scale = 1.0 if converter.scale is None else converter.scale
        offset = 0.0 if converter.offset is None else converter.offset
        return pooled(images * 255.0 * np.asarray(scale, "f4") + np.asarray(offset, "f4"))

    source = {"kind": "keras_hub", "preset": name, "weights": _digest(backbone.get_weights())}
    return Encoder(encode, size_px, source)


def from_hub(handle: str, image_size_px: int = 0) -> Encoder:
    """A TF Hub handle, or a folder with a reusable SavedModel, that gives feature vectors.

    Args:
      handle: url or folder.
      image_size_px: side of the images; 0 for 224, which is usual there.

    Raises:
      EncoderError: where it cannot be loaded or called with images.
    """
    try:
        import tensorflow_hub as hub
    except ImportError as error:
        raise EncoderError(
            f"{handle}: loading it needs tensorflow-hub, which cannot be imported ({error}): "
            'pip install "fine2coarse[cpu]"'
        ) from error
    try:
        model = hub.load(handle)
    except Exception as error:  # the network, the archive and the loader each have their own
        raise EncoderError(f"{handle}: cannot be loaded as a SavedModel: {error}") from error
    if not callable(model):
        raise EncoderError(
            f"{handle}: cannot be called with images (it has {_offers(model)}); "
            "expected a reusable SavedModel that gives feature vectors"
        )

    def encode(images: tf.Tensor) -> tf.Tensor:
        vectors = model(images)
        if isinstance(vectors, Mapping) or vectors.shape.rank not in (2, 4):
            raise EncoderError(f"{handle}: gives no vector for an image, but {vectors}")
        return vectors if vectors.shape.rank == 2 else tf.reduce_mean(vectors, [1, 2])

    weights = [variable.numpy() for variable in getattr(model, "variables", ())]
    source = {"kind": "tf_hub", "handle": handle, "weights": _digest(weights)}
    return Encoder(encode, image_size_px or DEFAULT_IMAGE_SIZE_PX, source)


def _offers(model: Any) -> str:
    signatures = list(getattr(model, "signatures", ()))
    return f"the signatures {signatures}" if signatures else "no signature either"


def _fixed_size_px(backbone: keras.Model) -> int:
    """The side of the images a backbone was made for; 0 where it takes any."""
    shapes = [tensor.shape for tensor in keras.tree.flatten(backbone.input)]
    image = next((shape for shape in shapes if len(shape) == 4), None)
    if image is None:
        raise EncoderError(f"{backbone.name}: takes no images")
    return image[1] or 0


def _pooled(backbone: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    if hasattr(backbone, "get_vision_embeddings"):
        return backbone.get_vision_embeddings
    rank = len(backbone.output.shape) if hasattr(backbone.output, "shape") else 0
    if rank == 4:
        return lambda images: keras.ops.mean(backbone(images, training=False), axis=(1, 2))
    if rank == 3 and getattr(backbone, "use_class_token", True):
        return lambda images: backbone(images, training=False)[:, 0]
    raise EncoderError(
        f"{type(backbone).__name__}: gives neither a map, nor tokens with a class token, nor "
        "image embeddings as CLIP does; embed with another preset"
    )


def _digest(weights: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for weight in weights:
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()
