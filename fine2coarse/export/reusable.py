"""A Keras 3 model as TF Hub's reusable SavedModel, with signatures for serving."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from fine2coarse.input.augmentation import eval_image

FEATURES, CLASSIFICATION, SERVING = (
    "image_feature_vector",
    "image_classification",
    "serving_default",
)
CLASS_NAMES = "class_names.txt"
_PROBABILITIES = {"softmax": tf.nn.softmax, "sigmoid": tf.nn.sigmoid}


@dataclasses.dataclass(frozen=True)
class ImageInput:
    """The images that a model takes: float32 [B, H, W, 3] in [0, 1].

    Attributes:
      size_px: side of the square images that it was trained on; encoded ones are resized to it.
      any_size: whether it takes every height and width, or this one alone.
    """

    size_px: int
    any_size: bool

    @property
    def spec(self) -> tf.TensorSpec:
        """Shape and type of a batch."""
        side = None if self.any_size else self.size_px
        return tf.TensorSpec([None, side, side, 3], tf.float32, name="images")


@contextlib.contextmanager
def exportable() -> Iterator[None]:
    """A scope in which models for export are built.

    Their numbers are float32, whatever the process's policy, and what they keep besides trained
    weights (batch-norm statistics) is marked as one value a replica, averaged when read: loaded
    under a strategy of several replicas, each updates its own.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        with tf.variable_creator_scope(_create_variable):
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def _create_variable(next_creator: Callable[..., tf.Variable], **kwargs: Any) -> tf.Variable:
    if kwargs.get("trainable") is False and tf.as_dtype(kwargs.get("dtype")).is_floating:
        kwargs["synchronization"] = tf.VariableSynchronization.ON_READ
        kwargs["aggregation"] = tf.VariableAggregation.MEAN
    return next_creator(**kwargs)


@dataclasses.dataclass(frozen=True, eq=False)
class ReusableModel:
    """What `tf.saved_model.save` takes.

    Attributes:
      root: the object with TF Hub's reusable SavedModel API: `__call__(inputs, training=False)`,
        `variables`, `trainable_variables`, `regularization_losses`
        (tensorflow.org/hub/reusable_saved_models).
      signatures: by the names that callers use: TF Hub's common ones for images, whose input is
        `images` and whose output `default`, and `serving_default` of encoded images.
    """

    root: tf.train.Checkpoint
    signatures: dict[str, Any]


def reusable_model(
    backbone: keras.Model,
    images: ImageInput,
    head: keras.layers.Layer | None = None,
    class_names: Sequence[str] = (),
    probabilities: str = "softmax",
) -> ReusableModel:
    """Traces a Keras model as a reusable SavedModel.

    Args:
      backbone: built in the scope of `exportable`, for this alone: images to features [B, D].
      images: what it takes.
      head: features to logits [B, num_classes]; `__call__` then gives logits, not features.
      class_names: of the logits.
      probabilities: how `serving_default` makes them from logits: 'softmax', or 'sigmoid' where
        the head was trained on each class by itself.
    """

    _make_statistics_local(backbone)

    # Every function calls the traced one, so that the graph is in the file once for each mode.
    # It is no attribute of the root, as that would put it there a second time.
    @tf.function(autograph=False)
    def features(inputs: tf.Tensor, training: bool) -> tf.Tensor:
        return backbone(inputs, training=training)

    def apply(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        found = features(inputs, training)
        return found if head is None else head(found)

    root = tf.train.Checkpoint()
    _set_variables(root, [backbone] if head is None else [backbone, head])
    root.__call__ = tf.function(apply, autograph=False)
    for training in (False, True):
        root.__call__.get_concrete_function(images.spec, training=training)
    signatures = {
        FEATURES: _signature(lambda images: {"default": features(images, False)}, images.spec)
    }
    serve = _features_of
    if head is not None:
        root.class_names = _ClassNames(class_names)
        signatures[CLASSIFICATION] = _signature(
            lambda images: {"default": apply(images)}, images.spec
        )
        serve = _Classification(root.class_names, _PROBABILITIES[probabilities])
    signatures[SERVING] = _signature(
        lambda image_bytes: serve(apply(decode_images(image_bytes, images.size_px))),
        tf.TensorSpec([None], tf.string, name="image_bytes"),
    )
    return ReusableModel(root, signatures)


def _make_statistics_local(model: keras.Model) -> None:
    """Takes the sums over replicas out of batch normalisation.

    A SavedModel's graph has one replica: they would change nothing in it, but leave functions
    with gradients of their own in the file, which warn wherever it is loaded.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _make_statistics_local(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = False


def _set_variables(root: tf.train.Checkpoint, parts: Sequence[keras.layers.Layer]) -> None:
    weights = [v for part in parts for v in part.weights]
    # Seeds of dropout layers are variables, but none of the weights.
    known = {id(v) for v in weights}
    others = [v for part in parts for v in part.variables if id(v) not in known]
    trainable = [v for part in parts for v in part.trainable_variables]
    root.variables = [v.value for v in [*weights, *others]]
    root.trainable_variables = [v.value for v in trainable]
    root.regularization_losses = [_loss_of(v) for v in trainable if v.regularizer]


def _features_of(outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"feature_vector": outputs}


@dataclasses.dataclass(frozen=True)
class _Classification:
    """What `serving_default` tells of logits."""

    names: _ClassNames
    probabilities: Callable[[tf.Tensor], tf.Tensor]

    def __call__(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        class_index = tf.argmax(logits, -1)
        return {
            "logits": logits,
            "probabilities": self.probabilities(logits),
            "class_index": class_index,
            "class_name": self.names.lookup(class_index),
        }


class _ClassNames(tf.train.Checkpoint):
    """Class index to name, by a file that travels as an asset: line i names class i."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="fine2coarse-"))
        path = folder / CLASS_NAMES
        path.write_text("".join(f"{one_line(name)}\n" for name in names), encoding="utf-8")
        self._folder = folder
        self.file = tf.saved_model.Asset(str(path))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                self.file,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
            ),
            default_value="",
        )

    def lookup(self, class_index: tf.Tensor) -> tf.Tensor:
        """Names string [B] of classes int64 [B]."""
        return self.table.lookup(class_index)


def one_line(name: str) -> str:
    """A name without line breaks."""
    return " ".join(name.split())


def decode_images(image_bytes: tf.Tensor, size_px: int) -> tf.Tensor:
    """Encoded images (JPEG, PNG, GIF, BMP, WebP) as a model of this project evaluates them.

    Upright, the largest central square, resized with antialiasing.

    Args:
      image_bytes: string [B].
      size_px: side of the results.

    Returns:
      float32 [B, size_px, size_px, 3] in [0, 1].
    """
    spec = tf.TensorSpec([size_px, size_px, 3], tf.float32)
    with tf.device("CPU"):  # where input pipelines decode
        return tf.map_fn(
            lambda encoded: eval_image(encoded, size_px), image_bytes, fn_output_signature=spec
        )


def _signature(function: Callable[[tf.Tensor], Any], spec: tf.TensorSpec) -> Any:
    return tf.function(function, autograph=False, input_signature=[spec])


def _loss_of(variable: keras.Variable) -> Any:
    @tf.function(autograph=False, input_signature=[])
    def loss() -> tf.Tensor:
        return tf.cast(variable.regularizer(variable), tf.float32)

    return loss
