"""What every program sets up before all else, on import; and starting TensorFlow quietly."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator

_EXIT_USAGE = 2


def _set_up() -> None:
    """Makes a program independent of the terminal and the notebook that it is started from."""
    # No program opens a window. A notebook's backend, which Jupyter and Colab hand on, need not be
    # installed here, and matplotlib would not even be imported then.
    os.environ["MPLBACKEND"] = "agg"
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the locale lacks is no failure


def start_tensorflow() -> None:
    """Imports TensorFlow without the lines its libraries print as they start, and pins Keras.

    Exits with code 2, and says why in one line, where the user's settings of Keras rule that out.
    """
    from fine2coarse import keras_settings

    try:
        keras_settings.check_backend()  # at once; the next import takes seconds
        with _quiet_stderr():
            keras_settings.pin()
            import tensorflow as tf

            tf.config.list_physical_devices()
    except keras_settings.KerasSettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(_EXIT_USAGE)


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


_set_up()
