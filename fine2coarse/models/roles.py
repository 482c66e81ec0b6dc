"""What role each weight of a model plays, read from the layer that owns it."""

from __future__ import annotations

import re
from collections.abc import Iterable

import keras

_LINEAR_LAYERS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv2D,
)
_STATISTIC = re.compile(r"(^|[/.])moving_(mean|variance)(_\d+)?$")


def kernels(model: keras.Model) -> list[keras.Variable]:
    """The kernels of linear layers (dense, convolution, attention projections).

    Biases, normalisation, class tokens and position embeddings are not. Of a layer that is
    neither Keras's nor of this package (a loaded SavedModel), whose roles are unknown, every weight
    of two or more dimensions counts.
    """
    return list(_kernels(model._flatten_layers()))


def _kernels(layers: Iterable[keras.layers.Layer]) -> Iterable[keras.Variable]:
    for layer in layers:
        if isinstance(layer, _LINEAR_LAYERS):
            yield layer.kernel
        elif _is_foreign(layer):
            yield from (weight for weight in layer.trainable_weights if len(weight.shape) > 1)


def moving_statistics(model: keras.Model) -> list[keras.Variable]:
    """The moving means and variances of batch normalisation, a loaded SavedModel's among them.

    They are known by the names that Keras gives them. Those of frozen layers count too.
    """
    return [v for v in model.non_trainable_variables if _STATISTIC.search(v.path)]


def _is_foreign(layer: keras.layers.Layer) -> bool:
    is_container = isinstance(layer, keras.Model)
    known = type(layer).__module__.startswith(("keras.", "fine2coarse.models."))
    return not known and not is_container
