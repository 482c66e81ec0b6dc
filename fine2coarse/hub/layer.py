"""A Keras 3 layer that loads a reusable SavedModel and trains it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from keras.src.saving import serialization_lib

from fine2coarse import keras_settings
from fine2coarse.hub.resolve import HubError, fingerprint_of_folder, resolve

keras_settings.pin()

# What TensorFlow says where a loaded function was traced for other inputs.
_REFUSALS = ("Could not find matching concrete function", "Binding inputs to tf.function failed")


@keras.saving.register_keras_serializable("fine2coarse")
class HubLayer(keras.layers.Layer):
    """What `hub.KerasLayer` is to Keras 2: a reusable TF2 SavedModel as a layer.

    The SavedModel's variables become the layer's weights. With `trainable=True` its
    `trainable_variables` train, `training` reaches its `__call__` (so that batch-norm statistics
    are updated), and its `regularization_losses` join the layer's losses; with
    `trainable=False` it runs in inference mode, whatever the model around it does.

    In a `.keras` file the layer keeps its weights, the handle, and the SavedModel's fingerprint,
    but not the SavedModel's graph: that is found again by the rule of
    `fine2coarse.hub.resolve` (the handle as it stands, then its last part in the folders of the
    environment variable FINE2COARSE_HUB_PATH), and refused where the fingerprint is another.
    A SavedModel is a program: in Keras's safe mode, the default of `load_model`, nothing is
    fetched, so that only one that lies on this machine already is run. Checkpoints hold the
    weights alone.

    The SavedModel's numbers are of the types it was saved with: mixed precision does not reach
    into it, and floating inputs are given to it as float32. XLA does not compile it
    (`supports_jit` is False, which makes `compile(jit_compile='auto')` choose right).

    Args:
      handle: a folder, a TF Hub handle or a Kaggle handle (see `resolve`).
      trainable: whether its variables train.
      arguments: further keyword arguments of the SavedModel's `__call__`, JSON-able.
      output_key: which output to return, where `__call__` returns several by name.
      cross_replica_batch: under a strategy of several replicas and in training, give each
        replica the whole batch and keep its part of the result. The batch-norm statistics, and
        so the gradients, are then those of one device, at the cost of each replica computing
        everything; needed for that alone, since without batch norm they are the same anyway.
        A SavedModel's graph cannot be synchronised in a cheaper way.
      sha256: fingerprint that the SavedModel must have; empty takes any.
      **kwargs: of `keras.layers.Layer`.

    Raises:
      HubError: where there is no such SavedModel, or it cannot be called or trained.
    """

    def __init__(
        self,
        handle: str | os.PathLike,
        trainable: bool = False,
        arguments: Mapping[str, Any] | None = None,
        output_key: str | None = None,
        cross_replica_batch: bool = False,
        sha256: str = "",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(trainable=trainable, autocast=False, **kwargs)
        self.supports_jit = False
        self.handle = os.fspath(handle)
        self.arguments = dict(arguments or {})
        self.output_key = output_key
        self.cross_replica_batch = cross_replica_batch
        folder = resolve(self.handle, sha256)
        self.sha256 = fingerprint_of_folder(folder)
        loaded = tf.saved_model.load(str(folder))
        self._function = _callable_of(loaded, self.handle)
        self._takes_training = _takes_training(self._function)
        self._adopt_losses(loaded, self._adopt_variables(loaded))
        # The SavedModel's own objects (tables, functions) live as long as the layer. In a tuple of
        # a plain object they are no dependencies, so that checkpoints hold each variable once.
        self._keep_alive = _Untracked(loaded)
        self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing is left to build: the weights come from the SavedModel."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Runs the SavedModel.

        Args:
          inputs: what its `__call__` takes, e.g. images float32 [B, H, W, 3] in [0, 1].
          training: whether the model around it trains.

        Raises:
          HubError: where the SavedModel takes no inputs of that shape and type.
        """
        is_training = bool(training) and self.trainable
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        inputs = tf.nest.map_structure(_as_saved_type, inputs)
        if is_training and self.cross_replica_batch and replicas > 1:
            outputs = self._call_on_whole_batch(inputs)
        else:
            outputs = self._call_saved_model(inputs, is_training)
        return outputs if self.output_key is None else self._pick(outputs)

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments, the SavedModel's fingerprint among them."""
        config = super().get_config()
        config.pop("autocast", None)
        return config | {
            "handle": self.handle,
            "arguments": self.arguments,
            "output_key": self.output_key,
            "cross_replica_batch": self.cross_replica_batch,
            "sha256": self.sha256,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> HubLayer:
        """The layer that `get_config` told of.

        Raises:
          HubError: where its SavedModel is gone or another, or would be fetched in safe mode;
            Keras's own `from_config` would bury that in a TypeError.
        """
        if serialization_lib.in_safe_mode():
            resolve(config["handle"], config.get("sha256", ""), fetch=False)
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            config = config | {"dtype": keras.dtype_policies.deserialize(dtype)}
        return cls(**config)

    def _call_saved_model(self, inputs: Any, is_training: bool) -> Any:
        arguments = dict(self.arguments)
        if self._takes_training:
            arguments["training"] = is_training
        try:
            return self._function(inputs, **arguments)
        except (TypeError, ValueError) as error:
            if not any(sign in str(error) for sign in _REFUSALS):
                raise
            given = tf.nest.map_structure(lambda x: f"{x.dtype.name} {x.shape}", inputs)
            raise HubError(
                f"SavedModel {self.handle!r} takes no inputs {given} with {arguments}; it takes "
                f"{_described_inputs(self._function)}"
            ) from error

    def _call_on_whole_batch(self, inputs: Any) -> Any:
        context = tf.distribute.get_replica_context()
        size = tf.shape(tf.nest.flatten(inputs)[0])[0]
        sizes = context.all_gather(size[None], axis=0)
        begin = tf.reduce_sum(sizes[: context.replica_id_in_sync_group])
        gathered = tf.nest.map_structure(lambda x: context.all_gather(x, axis=0), inputs)
        outputs = self._call_saved_model(gathered, True)
        return tf.nest.map_structure(lambda x: x[begin : begin + size], outputs)

    def _pick(self, outputs: Any) -> Any:
        if not isinstance(outputs, Mapping) or self.output_key not in outputs:
            there = sorted(outputs) if isinstance(outputs, Mapping) else "one output without a name"
            raise HubError(f"no output {self.output_key!r} of {self.handle!r}; there is: {there}")
        return outputs[self.output_key]

    def _adopt_variables(self, loaded: Any) -> list[keras.Variable]:
        """Makes the SavedModel's variables the layer's; returns those that were saved to train."""
        trainable = list(getattr(loaded, "trainable_variables", []))
        ids = {id(variable) for variable in trainable}
        others = [v for v in getattr(loaded, "variables", []) if id(v) not in ids]
        if self.trainable and not trainable:
            raise HubError(
                f"SavedModel {self.handle!r} has no trainable_variables: it was not saved to be "
                "trained; use trainable=False"
            )
        to_train = [_AdoptedVariable(v, trainable=True) for v in trainable]
        adopted = [*to_train, *(_AdoptedVariable(v, trainable=False) for v in others)]
        # Attributes, so that Keras makes them weights. One each: in a list TensorFlow's
        # checkpoints would not find them.
        for number, variable in enumerate(adopted):
            setattr(self, f"loaded_{number}", variable)
            if not self.trainable:  # a model around it asks the variables, not the layer
                variable.trainable = False
        return to_train

    def _adopt_losses(self, loaded: Any, variables: list[keras.Variable]) -> None:
        """Makes them the regulariser of the first weight: computed anew wherever losses are."""
        losses = list(getattr(loaded, "regularization_losses", []))
        if losses and variables:
            variables[0].regularizer = lambda _: tf.add_n([loss() for loss in losses])


class _AdoptedVariable(keras.Variable):
    """A Keras variable around a `tf.Variable` that is there already."""

    def __init__(self, variable: tf.Variable, *, trainable: bool) -> None:
        self._adopted = _Untracked(variable)
        super().__init__(
            initializer=lambda shape, dtype: None,
            shape=tuple(variable.shape),
            dtype=variable.dtype.name,
            trainable=trainable,
            autocast=False,
            name=variable.name.split(":")[0].replace("/", "."),
        )

    def _initialize_with_initializer(self, initializer: Any) -> None:
        del initializer
        self._value = self._adopted.value


class _Untracked:
    """Hides an object from Keras's and TensorFlow's tracking of attributes."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _callable_of(loaded: Any, handle: str) -> Any:
    if callable(loaded):
        return loaded.__call__
    signatures = sorted(getattr(loaded, "signatures", {}))
    raise HubError(
        f"SavedModel {handle!r} is not reusable: it has no __call__, only signatures {signatures}"
    )


def _takes_training(function: Any) -> bool:
    specification = getattr(function, "function_spec", None)
    if specification is not None:
        arguments = specification.fullargspec
        return "training" in [*arguments.args, *arguments.kwonlyargs]
    return "training" in inspect.signature(function).parameters


def _described_inputs(function: Any) -> str:
    concrete = getattr(function, "concrete_functions", [])
    specs = {str(f.structured_input_signature[0][0]) for f in concrete}
    return " or ".join(sorted(specs)) or "inputs that it does not tell"


def _as_saved_type(value: Any) -> tf.Tensor:
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor
