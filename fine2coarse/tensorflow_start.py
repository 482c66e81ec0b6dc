"""Starting TensorFlow: without the lines its libraries print, and with Keras' settings pinned."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from fine2coarse import keras_settings


def start_tensorflow() -> None:
    """Imports TensorFlow quietly and pins Keras' settings; does nothing the second time.

    Raises:
      KerasSettingsError: where the user's settings of Keras rule that out; at once where
        KERAS_BACKEND does, for the import takes seconds.
    """
    keras_settings.check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _quiet_stderr():
        keras_settings.pin()
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Keeps back what is printed to standard error; it is shown where the body fails.

    Libraries write to the file descriptor itself, before any setting of a log level can reach them.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        except BaseException:
            file.seek(0)
            os.write(stderr, file.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
