"""Starting TensorFlow quietly."""

import os
import sys
import tempfile


def start_tensorflow() -> None:
    """Imports TensorFlow without the lines its libraries print as they start.

    They go to the file descriptor itself, before any setting of a log level can reach them. What
    was printed is shown where the import fails.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            file.seek(0)
            os.write(stderr, file.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
