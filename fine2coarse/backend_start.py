"""Starting what computes: TensorFlow or JAX, without the lines that their libraries print.

Keras runs on the one or the other (`keras_settings.backend`). TensorFlow may work beside JAX too:
it reads prepared data and feeds images. Then it is kept off the GPUs and TPUs, which are JAX's.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import glob
import hashlib
import importlib.util
import os
import pathlib
import sys
import tempfile
import warnings
from collections.abc import Iterator

from fine2coarse import keras_settings
from fine2coarse.errors import UsageError

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS, _NOTHING = "2", "3"
# Devices of NVIDIA's and AMD's drivers and of TPUs. Without any, what TensorFlow's libraries call
# an error is that there is no GPU, or that the CPU lacks some instructions; what fails is raised.
_ACCELERATORS = ("/dev/nvidia*", "/dev/dxg", "/dev/kfd", "/dev/accel*", "/dev/vfio/*")

# Options of glibc's mallopt (malloc.h), and what they are set to.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _MAX_MMAP_THRESHOLD_BYTES = 64 << 20, 32 << 20

XLA_FLAGS, CACHE_FOLDER = "XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR"
_DETERMINISTIC = "xla_gpu_deterministic_ops"
# What takes longer to compile is kept: many small programs are a second too.
_WORTH_KEEPING_S = "0.1"
# What JAX says of a compiled program that a killed process wrote in part: it is compiled again.
_UNREADABLE_PROGRAM = "Error (reading|writing) persistent compilation cache entry"


class MissingBackendError(UsageError):
    """Something needs TensorFlow or JAX, which is not installed."""


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
    """Sets TF_CPP_MIN_LOG_LEVEL, which TensorFlow and JAX read, where the user does not."""
    has_accelerator = any(glob.glob(pattern) for pattern in _ACCELERATORS)  # noqa: PTH207
    os.environ.setdefault(_LEVEL, _ERRORS if has_accelerator else _NOTHING)


def start_backend() -> None:
    """Imports Keras with its backend, quietly, and pins Keras' settings; nothing the second time.

    What the libraries print on the way (no GPU was found, which instructions the CPU has) is shown
    where the user sets TF_CPP_MIN_LOG_LEVEL to 0 or 1, and where starting fails.

    JAX takes hold of its devices later, when an engine is made. Its operations on GPUs are made
    deterministic by XLA_FLAGS, and what it compiles is kept in `program_cache()` for the next
    process, unless the user sets that flag or JAX_COMPILATION_CACHE_DIR. Where the caller's program
    has used JAX before, neither has an effect.

    Raises:
      KerasSettingsError: where the user's settings of Keras rule that out; at once where
        KERAS_BACKEND does, for the import takes seconds.
      MissingBackendError: where the backend is not installed.
    """
    keras_settings.check_backend()
    if keras_settings.backend() == keras_settings.JAX:
        _start_jax()
    else:
        _start_tensorflow()


def start_on_tensorflow(what: str) -> None:
    """As `start_backend`, with Keras on TensorFlow whatever KERAS_BACKEND says.

    Args:
      what: the work, which TensorFlow alone does, for the error.

    Raises:
      KerasSettingsError: where Keras runs on JAX in this process already.
      MissingBackendError: where TensorFlow is not installed.
    """
    _check_tensorflow(what)
    keras_settings.choose_backend(keras_settings.TENSORFLOW)
    start_backend()


def start_tensorflow(what: str, instead: str = "") -> None:
    """Imports TensorFlow quietly, beside JAX where Keras runs on that; nothing the second time.

    Args:
      what: the work that needs it, for the error, such as 'reading a prepared dataset'.
      instead: what may be done without it, for the error.

    Raises:
      KerasSettingsError: as of `start_backend`.
      MissingBackendError: where TensorFlow is not installed.
    """
    keras_settings.check_backend()
    _check_tensorflow(what, instead)
    if keras_settings.backend() == keras_settings.JAX:
        _start_jax()
        hide_accelerators_from_tensorflow()
    else:
        _start_tensorflow()


def hide_accelerators_from_tensorflow() -> None:
    """Keeps TensorFlow off the GPUs and TPUs where Keras runs on JAX, which computes on them.

    Call before its first operation: it takes hold of all devices that it sees then, and of their
    memory. Does nothing where Keras runs on TensorFlow.
    """
    if keras_settings.backend() == keras_settings.JAX:
        _hide_accelerators()


@functools.cache
def _hide_accelerators() -> None:
    with _quiet_unless_asked():
        tf = importlib.import_module(keras_settings.TENSORFLOW)
        for kind in ("GPU", "TPU"):
            with contextlib.suppress(RuntimeError):  # the caller's program has used them already
                tf.config.set_visible_devices([], kind)
    _quiet_tensorflow(tf)


def _start_tensorflow() -> None:
    if not keras_settings.has_tensorflow():
        raise MissingBackendError(
            'the backend is TensorFlow, which is not installed: pip install "fine2coarse[cpu]", '
            'or "fine2coarse[jax]" for --backend=jax'
        )
    keep_freed_memory()
    quiet_libraries()
    with _quiet_unless_asked():
        keras_settings.pin()
        import tensorflow as tf

        tf.config.list_physical_devices()
    _quiet_tensorflow(tf)


def _start_jax() -> None:
    if importlib.util.find_spec(keras_settings.JAX) is None:
        raise MissingBackendError(
            'the backend is JAX, which is not installed: pip install "fine2coarse[jax]" (on GPUs '
            "jax-gpu, on TPUs jax-tpu), or choose --backend=tensorflow"
        )
    keep_freed_memory()
    quiet_libraries()
    given = os.environ.get(XLA_FLAGS, "")
    if _DETERMINISTIC not in given:
        os.environ[XLA_FLAGS] = f"{given} --{_DETERMINISTIC}=true".strip()
    os.environ.setdefault(CACHE_FOLDER, str(program_cache()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _WORTH_KEEPING_S)
    warnings.filterwarnings("ignore", _UNREADABLE_PROGRAM)
    with _quiet_unless_asked():
        keras_settings.pin()


def program_cache() -> pathlib.Path:
    """Where JAX keeps compiled programs: `fine2coarse/jax` in XDG_CACHE_HOME or ~/.cache.

    Below it, a folder for each kind of CPU: hosts of several kinds may share a home, and a program
    that was compiled for one may not run on another.
    """
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(home) / "fine2coarse" / keras_settings.JAX / _kind_of_cpu()


def _kind_of_cpu() -> str:
    """Eight hexadecimal digits that stand for the instructions which this CPU has."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):  # x86, ARM
                return hashlib.sha256(line.encode()).hexdigest()[:8]
    import platform

    return hashlib.sha256(repr(platform.uname()[4:]).encode()).hexdigest()[:8]


def _check_tensorflow(what: str, instead: str = "") -> None:
    if not keras_settings.has_tensorflow():
        raise MissingBackendError(
            f'{what} needs TensorFlow, which is not installed: pip install "fine2coarse[cpu]" '
            "here, or do it where TensorFlow is (runs and weights of either backend open in the "
            f"other){instead and '; or '}{instead}"
        )


def _quiet_tensorflow(tf: object) -> None:
    if not _wants_all():
        tf.get_logger().setLevel("ERROR")  # hints to programmers, as on retracing


def _wants_all() -> bool:
    return os.environ.get(_LEVEL) in ("0", "1")


def _quiet_unless_asked() -> contextlib.AbstractContextManager:
    return contextlib.nullcontext() if _wants_all() else _quiet_stderr()


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
