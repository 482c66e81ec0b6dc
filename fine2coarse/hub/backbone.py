"""A SavedModel as the backbone of a classifier."""

from __future__ import annotations

import dataclasses

import keras

from fine2coarse import keras_settings
from fine2coarse.hub.resolve import HubError, fingerprint_of_folder, resolve


def check_on_tensorflow() -> None:
    """Raises HubError where Keras runs on JAX: a SavedModel is a program of TensorFlow's."""
    if keras_settings.backend() != keras_settings.TENSORFLOW:
        raise HubError(
            "a SavedModel as a backbone runs on TensorFlow, and Keras is on "
            f"{keras_settings.backend()!r}: use --backend=tensorflow, or start from a run of ours, "
            "which either backend opens"
        )


@dataclasses.dataclass(frozen=True)
class SavedModelBackbone:
    """A backbone that no code of ours builds.

    Attributes:
      handle: a folder, a TF Hub handle or a Kaggle handle.
      image_size_px: side of the square images that it is given.
      sha256: the SavedModel's fingerprint.
    """

    handle: str
    image_size_px: int
    sha256: str

    @classmethod
    def find(cls, handle: str, image_size_px: int) -> SavedModelBackbone:
        """Finds the SavedModel and takes its fingerprint.

        Raises:
          HubError: where there is none.
        """
        return cls(handle, image_size_px, fingerprint_of_folder(resolve(handle)))

    @property
    def name(self) -> str:
        """The family that choices of compilation go by: one of its own, never compiled by XLA."""
        return "saved_model"

    def build(self) -> keras.Model:
        """A model from images float [B, size, size, 3] in [0, 1] to features float32 [B, D].

        Raises:
          HubError: where the SavedModel does not give one vector an image, or Keras does not run
            on TensorFlow.
        """
        check_on_tensorflow()
        from fine2coarse.hub.layer import HubLayer

        inputs = keras.Input((self.image_size_px, self.image_size_px, 3), name="image")
        features = HubLayer(self.handle, trainable=True, sha256=self.sha256)(inputs)
        shape = getattr(features, "shape", None)
        if shape is None or len(shape) != 2 or shape[1] is None:
            raise HubError(
                f"SavedModel {self.handle!r} gives {shape if shape else 'several outputs'}; a "
                "backbone gives one feature vector an image: float [B, D]"
            )
        return keras.Model(inputs, features, name="saved_model")
