"""Starting TensorFlow: without the lines its libraries print, and with Keras' settings pinned."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import sys
import tempfile
from collections.abc import Iterator

from fine2coarse import keras_settings

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS, _NOTHING = "2", "3"
# Devices of NVIDIA's and AMD's drivers and of TPUs. Without any, what TensorFlow's libraries call
# an error is that there is no GPU, or that the CPU lacks some instructions; what fails is raised.
_ACCELERATORS = ("/dev/nvidia*", "/dev/dxg", "/dev/kfd", "/dev/accel*", "/dev/vfio/*")

# Options of glibc's mallopt (malloc.h), and what they are set to.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _MAX_MMAP_THRESHOLD_BYTES = 64 << 20, 32 << 20


def keep_freed_memory() -> None:
    """Lets the process keep memory that it frees, instead of giving each piece back at once.

    By default glibc returns freed memory of more than 128 KiB to the system, which hands it out
    again page by page: a cost at every encoded and decoded image. Does nothing with other C
    libraries, or where the user sets MALLOC_TRIM_THRESHOLD_ (to 131072 for glibc's default).
    """
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
            library.mallopt(_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD_BYTES)


def quiet_libraries() -> None:
    """Sets TF_CPP_MIN_LOG_LEVEL, which TensorFlow reads on import, where the user does not."""
    has_accelerator = any(glob.glob(pattern) for pattern in _ACCELERATORS)  # noqa: PTH207
    os.environ.setdefault(_LEVEL, _ERRORS if has_accelerator else _NOTHING)


def start_tensorflow() -> None:
    """Imports TensorFlow quietly and pins Keras' settings; does nothing the second time.

    What its libraries print on the way (no GPU was found, which instructions the CPU has) is shown
    where the user sets TF_CPP_MIN_LOG_LEVEL to 0 or 1, and where starting fails.

    Raises:
      KerasSettingsError: where the user's settings of Keras rule that out; at once where
        KERAS_BACKEND does, for the import takes seconds.
    """
    keras_settings.check_backend()
    keep_freed_memory()
    quiet_libraries()
    wants_all = os.environ[_LEVEL] in ("0", "1")
    with contextlib.nullcontext() if wants_all else _quiet_stderr():
        keras_settings.pin()
        import tensorflow as tf

        tf.config.list_physical_devices()
    if not wants_all:
        tf.get_logger().setLevel("ERROR")  # hints to programmers, as on retracing


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
