"""The flag --backend of the programs that compute on TensorFlow or on JAX."""

from absl import flags

from fine2coarse import keras_settings
from fine2coarse.backend_start import start_backend

BACKEND = flags.DEFINE_enum(
    "backend",
    None,
    keras_settings.BACKENDS,
    "What Keras computes on. Default: the variable KERAS_BACKEND, which this goes before; else "
    "tensorflow, or jax where that alone is installed.",
)


def settle_backend() -> None:
    """Makes Keras run on the backend of --backend; before Keras is imported.

    The flag goes before the variable KERAS_BACKEND, as --data_dir does before TFDS_DATA_DIR, and
    processes that this one starts inherit the choice.
    """
    if BACKEND.value is not None:
        keras_settings.choose_backend(BACKEND.value)


def start_chosen_backend() -> None:
    """Starts the backend of --backend.

    Raises:
      KerasSettingsError: see `start_backend`.
      MissingBackendError: see `start_backend`.
    """
    settle_backend()
    start_backend()


def backend_argument() -> list[str]:
    """`--backend=…` where the variable alone says what is not the default: for other processes."""
    chosen = keras_settings.backend()
    if BACKEND.value is not None or chosen == keras_settings.default_backend():
        return []
    return [f"--backend={chosen}"]
