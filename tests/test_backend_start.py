"""TensorFlow and JAX start without a line on standard error, and what the user sets counts."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from unittest import mock

import pytest

from fine2coarse import backend_start, keras_settings
from fine2coarse.backend_start import MissingBackendError
from fine2coarse.errors import UsageError

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_WORTH_KEEPING = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


@pytest.mark.parametrize(
    ("patterns", "set_before", "level"),
    [((), None, "3"), (("/dev/null",), None, "2"), (("/dev/null",), "0", "0"), ((), "1", "1")],
)
def test_errors_are_held_back_where_there_is_no_accelerator(
    monkeypatch, patterns, set_before, level
):
    monkeypatch.setattr(backend_start, "_ACCELERATORS", patterns)
    monkeypatch.setenv(_LEVEL, set_before or "")
    if set_before is None:
        monkeypatch.delenv(_LEVEL)
    backend_start.quiet_libraries()
    assert os.environ[_LEVEL] == level


@pytest.mark.parametrize(("is_set", "is_glibc", "num_calls"), [(0, 1, 2), (1, 1, 0), (0, 0, 0)])
def test_freed_memory_is_kept_with_glibc_unless_the_user_decides(
    monkeypatch, is_set, is_glibc, num_calls
):
    library = mock.Mock(spec=["mallopt", "gnu_get_libc_version"] if is_glibc else ["mallopt"])
    monkeypatch.setattr(backend_start.ctypes, "CDLL", lambda name: library)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if is_set:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    backend_start.keep_freed_memory()
    assert library.mallopt.call_count == num_calls
    if num_calls:  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        assert [call.args[0] for call in library.mallopt.call_args_list] == [-1, -3]


def test_what_fails_is_shown(capfd):
    with pytest.raises(OSError), backend_start._quiet_stderr():
        os.write(2, b"a library's last words\n")
        raise OSError
    assert "a library's last words" in capfd.readouterr().err
    with backend_start._quiet_stderr():
        os.write(2, b"no GPU\n")
    assert not capfd.readouterr().err


@pytest.fixture
def jax_alone(monkeypatch, tmp_path):
    """The variables of a process that starts JAX, without anything that a user sets."""
    names = (backend_start.XLA_FLAGS, backend_start.CACHE_FOLDER, _WORTH_KEEPING)
    for name in names:
        monkeypatch.setenv(name, "")  # so that what is set is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(keras_settings, "backend", lambda: "jax")
    monkeypatch.setattr(keras_settings, "pin", lambda: None)
    monkeypatch.setattr(backend_start, "keep_freed_memory", lambda: None)


def test_jax_computes_the_same_each_time_and_keeps_what_it_compiled(jax_alone, tmp_path):
    backend_start.start_backend()
    assert os.environ["XLA_FLAGS"] == "--xla_gpu_deterministic_ops=true"
    folder = pathlib.Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    assert folder.parent == tmp_path / "fine2coarse" / "jax" and len(folder.name) == 8
    backend_start.start_backend()
    assert os.environ["XLA_FLAGS"].count("deterministic") == 1


def test_what_a_user_sets_for_jax_stays(jax_alone, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_x=1 --xla_gpu_deterministic_ops=false")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/mine")
    monkeypatch.setenv(_WORTH_KEEPING, "7")
    backend_start.start_backend()
    assert os.environ["XLA_FLAGS"] == "--xla_x=1 --xla_gpu_deterministic_ops=false"
    assert (os.environ["JAX_COMPILATION_CACHE_DIR"], os.environ[_WORTH_KEEPING]) == ("/mine", "7")
    monkeypatch.setenv("XLA_FLAGS", "--xla_x=1")
    backend_start.start_backend()
    assert os.environ["XLA_FLAGS"] == "--xla_x=1 --xla_gpu_deterministic_ops=true"


def test_without_a_cache_folder_of_the_users_it_is_in_the_home(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert backend_start.program_cache().parent == pathlib.Path(
        "/home/someone/.cache/fine2coarse/jax"
    )


def test_a_backend_that_is_not_installed_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(keras_settings, "has_tensorflow", lambda: False)
    monkeypatch.setattr(keras_settings, "backend", lambda: "tensorflow")
    with pytest.raises(MissingBackendError, match="TensorFlow, which is not installed"):
        backend_start.start_backend()
    remedy = r"export needs TensorFlow.*fine2coarse\[cpu\].*open in the other\)$"
    with pytest.raises(MissingBackendError, match=remedy):
        backend_start.start_on_tensorflow("export")
    with pytest.raises(MissingBackendError, match=r"reading data needs .*; or read a pack$"):
        backend_start.start_tensorflow("reading data", "read a pack")
    monkeypatch.setattr(keras_settings, "backend", lambda: "jax")
    monkeypatch.setattr(backend_start.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingBackendError, match=r"JAX, which is not installed.*\[jax\]"):
        backend_start.start_backend()
    assert issubclass(MissingBackendError, UsageError)


def test_tensorflow_is_kept_off_the_devices_of_jax_and_of_no_others(monkeypatch):
    hidden = []
    fake = mock.Mock()
    fake.config.set_visible_devices.side_effect = lambda names, kind: hidden.append((names, kind))
    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    backend_start._hide_accelerators.cache_clear()
    monkeypatch.setattr(keras_settings, "backend", lambda: "tensorflow")
    backend_start.hide_accelerators_from_tensorflow()
    assert not hidden
    monkeypatch.setattr(keras_settings, "backend", lambda: "jax")
    for _ in range(2):
        backend_start.hide_accelerators_from_tensorflow()
    assert hidden == [([], "GPU"), ([], "TPU")]
    backend_start._hide_accelerators.cache_clear()


@pytest.mark.slow
def test_starting_jax_says_nothing_and_takes_hold_of_no_device():
    code = (
        "from fine2coarse.backend_start import start_backend\n"
        "start_backend()\n"
        "import jax, sys\n"
        "jax.config.update('jax_num_cpu_devices', 2)\n"  # fails once there are devices
        "print(jax.device_count(), 'tensorflow' in sys.modules)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    environment.pop(_LEVEL, None)
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (shown.stdout, shown.stderr) == ("2 False\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("is_loud", [False, True])
def test_starting_says_nothing_unless_asked(is_loud):
    code = (
        "from fine2coarse.backend_start import start_backend\n"
        "start_backend()\n"
        "import tensorflow as tf\n"
        "pixels = tf.zeros([2, 2, 3], tf.uint8)\n"
        "tf.function(lambda: tf.transpose(pixels, [1, 0, 2]))()\n"  # which oneDNN complains of
    )
    environment = {name: value for name, value in os.environ.items() if name != _LEVEL}
    environment |= {_LEVEL: "0"} if is_loud else {}
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert bool(shown.stderr) == is_loud and not shown.stdout
