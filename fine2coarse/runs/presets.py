"""KerasHub, which presets alone need."""

from __future__ import annotations

from types import ModuleType

from fine2coarse.errors import UsageError


def import_keras_hub() -> ModuleType:
    """The module `keras_hub`.

    Raises:
      UsageError: where it is not installed.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise UsageError(
            f"presets need KerasHub, which cannot be imported ({error}): pip install "
            '"fine2coarse[presets]", which brings TensorFlow; or start from a run or an export'
        ) from error
    return keras_hub
