"""TensorFlow starts without a line on standard error, and what the user sets counts."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import mock

import pytest

from fine2coarse import tensorflow_start

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@pytest.mark.parametrize(
    ("patterns", "set_before", "level"),
    [((), None, "3"), (("/dev/null",), None, "2"), (("/dev/null",), "0", "0"), ((), "1", "1")],
)
def test_errors_are_held_back_where_there_is_no_accelerator(
    monkeypatch, patterns, set_before, level
):
    monkeypatch.setattr(tensorflow_start, "_ACCELERATORS", patterns)
    monkeypatch.setenv(_LEVEL, set_before or "")
    if set_before is None:
        monkeypatch.delenv(_LEVEL)
    tensorflow_start.quiet_libraries()
    assert os.environ[_LEVEL] == level


@pytest.mark.parametrize(("is_set", "is_glibc", "num_calls"), [(0, 1, 2), (1, 1, 0), (0, 0, 0)])
def test_freed_memory_is_kept_with_glibc_unless_the_user_decides(
    monkeypatch, is_set, is_glibc, num_calls
):
    library = mock.Mock(spec=["mallopt", "gnu_get_libc_version"] if is_glibc else ["mallopt"])
    monkeypatch.setattr(tensorflow_start.ctypes, "CDLL", lambda name: library)
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if is_set:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    tensorflow_start.keep_freed_memory()
    assert library.mallopt.call_count == num_calls
    if num_calls:  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        assert [call.args[0] for call in library.mallopt.call_args_list] == [-1, -3]


def test_what_fails_is_shown(capfd):
    with pytest.raises(OSError), tensorflow_start._quiet_stderr():
        os.write(2, b"a library's last words\n")
        raise OSError
    assert "a library's last words" in capfd.readouterr().err
    with tensorflow_start._quiet_stderr():
        os.write(2, b"no GPU\n")
    assert not capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("is_loud", [False, True])
def test_starting_says_nothing_unless_asked(is_loud):
    code = (
        "from fine2coarse.tensorflow_start import start_tensorflow\n"
        "start_tensorflow()\n"
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
