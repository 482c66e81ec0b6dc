"""Keras' global settings, the same whatever a user's profile says.

Keras reads `~/.keras/keras.json` (or the one in KERAS_HOME) and the variable KERAS_BACKEND when it
is imported. What stands there would change our networks and their numbers without a word: with
`channels_first` another network is built, with `floatx` float16 others are computed. So the
packages that build or train models call `pin()` when they are imported.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from types import ModuleType

from fine2coarse.errors import UsageError

TENSORFLOW, JAX = BACKENDS = ("tensorflow", "jax")
IMAGE_DATA_FORMAT, FLOATX, EPSILON = "channels_last", "float32", 1e-7
_VARIABLE = "KERAS_BACKEND"


class KerasSettingsError(UsageError):
    """Settings of Keras that fine2coarse cannot work with."""


def pinned() -> Mapping[str, str | float]:
    """The settings that `pin` makes, by their names in keras.json."""
    return {
        "backend": backend(),
        "image_data_format": IMAGE_DATA_FORMAT,
        "floatx": FLOATX,
        "epsilon": EPSILON,
    }


def pin() -> None:
    """Imports Keras and sets its global settings to those of `pinned()`.

    A dtype policy that the caller set (`keras.config.set_dtype_policy("mixed_bfloat16")`) stays;
    one that only follows another `floatx` becomes float32.

    Raises:
      KerasSettingsError: where Keras runs, or is to run, on another backend, or where its
        keras.json cannot be read.
    """
    check_backend()
    prefer_default_backend()
    config = _import_keras().config
    follows_floatx = config.dtype_policy().name == config.floatx()
    config.set_image_data_format(IMAGE_DATA_FORMAT)
    config.set_floatx(FLOATX)
    config.set_epsilon(EPSILON)
    if follows_floatx:
        config.set_dtype_policy(FLOATX)


def backend() -> str:
    """The backend that Keras runs on, or would be imported with: imports nothing."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        return keras.config.backend()
    return os.environ.get(_VARIABLE) or default_backend()


def default_backend() -> str:
    """TensorFlow; JAX where that alone is installed."""
    has_jax_alone = not has_tensorflow() and importlib.util.find_spec(JAX) is not None
    return JAX if has_jax_alone else TENSORFLOW


def has_tensorflow() -> bool:
    """Whether TensorFlow can be imported; imports nothing."""
    return TENSORFLOW in sys.modules or importlib.util.find_spec(TENSORFLOW) is not None


def choose_backend(name: str) -> None:
    """Makes Keras run on a backend; before Keras is imported.

    Args:
      name: 'tensorflow' or 'jax'.

    Raises:
      KerasSettingsError: on another name, or where Keras runs on another backend already.
    """
    if name not in BACKENDS:
        raise KerasSettingsError(f"the backend is one of {BACKENDS}, got {name!r}")
    if "keras" in sys.modules and backend() != name:
        raise KerasSettingsError(
            f"Keras was imported with its backend {backend()!r}, and {name!r} is wanted: start "
            f"Python anew with {_VARIABLE}={name}"
        )
    os.environ[_VARIABLE] = name


def check_backend() -> None:
    """Checks which backend Keras runs on or would be imported with; imports nothing.

    Raises:
      KerasSettingsError: where that is neither TensorFlow nor JAX.
    """
    if backend() in BACKENDS:
        return
    if "keras" in sys.modules:
        raise KerasSettingsError(
            f"Keras was imported with its backend {backend()!r}, and fine2coarse runs on "
            f"{' and '.join(BACKENDS)} alone: start Python anew with {_VARIABLE}={TENSORFLOW}"
        )
    raise KerasSettingsError(
        f"the environment variable {_VARIABLE} is {backend()!r}, and fine2coarse runs on "
        f"{' and '.join(BACKENDS)} alone: unset {_VARIABLE}, or set {_VARIABLE}={TENSORFLOW}"
    )


def prefer_default_backend() -> None:
    """Settles the backend where KERAS_BACKEND names none; imports nothing.

    The backend of keras.json, and Keras' NNX mode (JAX only), are thereby overruled. Call before
    Keras is imported.
    """
    if not os.environ.get(_VARIABLE):
        os.environ[_VARIABLE] = default_backend()
    os.environ["KERAS_NNX_ENABLED"] = "false"


def _import_keras() -> ModuleType:
    try:
        import keras
    except ValueError as error:
        if "configuration" not in str(error):
            raise
        raise KerasSettingsError(
            f"Keras refuses its settings file {_settings_file()} ({error}): correct that entry, or "
            "delete the file"
        ) from error
    return keras


def _settings_file() -> str:
    """Where Keras looks for keras.json, by its own rule."""
    home = os.path.expanduser("~")  # noqa: PTH111 (Keras' own words: it never fails)
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")  # noqa: PTH118
    return os.path.join(os.environ.get("KERAS_HOME", default), "keras.json")  # noqa: PTH118
