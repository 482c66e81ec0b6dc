"""What all tests share: where the test data lies, memory, how many run at once."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import pathlib
import re
import resource
import sys
import tempfile

import pytest

from fine2coarse import keras_settings

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_MAX_WORKERS = 8  # of `-n auto`: each may need several GB
_MAX_PEAK_GB = 8.0
_PEAK = "peak_gb"
_peaks_gb: list[float] = []  # of the workers that have ended


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real test data beside the project; skips where there is none."""
    for folder in (_ROOT.parent / "shared" / "data", _ROOT.parent.parent / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip("the real test data (../shared/data) is not here")


@pytest.fixture
def told(caplog):
    """A function that gives the messages logged by the package since it was last called."""
    caplog.set_level(logging.INFO, "fine2coarse")

    def messages() -> list[str]:
        ours = [record for record in caplog.records if record.name.startswith("fine2coarse")]
        found = [record.getMessage() for record in ours]
        caplog.clear()
        return found

    return messages


@pytest.fixture(autouse=True)
def memory_given_back(request):
    """After a slow test, what its models held goes back to the system.

    A Keras model is a ring of objects, which goes at the next full collection only; and the C
    library keeps what it was given back, in pieces, until it is asked. TensorFlow still keeps a
    part: what needs several GB runs in a process of its own (`tests/export/checked_export.py`).
    """
    yield
    if any(request.node.get_closest_marker(name) for name in ("slow", "stress")):
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)


@pytest.fixture(scope="module")
def without_xla():
    """Steps of ViTs and MLPs are not compiled: for a few of them that takes longer than they do."""
    from fine2coarse.runs import execution

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "choose_jit_compile", lambda *arguments: False)
        yield


@pytest.fixture(scope="session")
def engine():
    """One device, on the backend that these tests run on."""
    from tests.engines import one_device

    return one_device()


_BACKEND_MARKS = {
    keras_settings.TENSORFLOW: re.compile(r"pytest\.mark\.jax\b"),
    keras_settings.JAX: re.compile(r"pytest\.mark\.(jax|both_backends)\b"),
}


def pytest_configure(config: pytest.Config) -> None:
    """Processes of one session share the programs that JAX compiles: most tests need the same."""
    is_worker = hasattr(config, "workerinput")
    if keras_settings.backend() == keras_settings.JAX and not is_worker:
        folder = tempfile.TemporaryDirectory(prefix="programs")
        config.add_cleanup(folder.cleanup)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder.name)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def pytest_ignore_collect(collection_path: pathlib.Path) -> bool | None:
    """With KERAS_BACKEND=jax, only modules marked `jax` or `both_backends`; else none of `jax`."""
    if not collection_path.name.startswith("test_"):
        return None
    backend = keras_settings.backend()
    is_marked = bool(_BACKEND_MARKS[backend].search(collection_path.read_text("utf-8")))
    is_left_out = is_marked == (backend == keras_settings.TENSORFLOW)
    return True if is_left_out else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers of `-n auto`."""
    return min(os.cpu_count() or 1, _MAX_WORKERS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node) -> None:
    """A worker of pytest-xdist has ended and left its peak."""
    _peaks_gb.append(getattr(node, "workeroutput", {}).get(_PEAK, 0.0))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker passes its peak of memory on; the tests fail where one is too high."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_PEAK] = _own_peak_gb()
    elif _highest_peak_gb() > _MAX_PEAK_GB:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how much memory the largest of these processes took."""
    peak = f"{_highest_peak_gb():.1f} GB of {_MAX_PEAK_GB:g} GB allowed"
    terminalreporter.write_line(f"peak memory of a pytest process: {peak}")


def _highest_peak_gb() -> float:
    return max(_own_peak_gb(), *_peaks_gb, 0.0)


def _own_peak_gb() -> float:
    """Of this process and of those that it waited for."""
    unit = 1 if sys.platform == "darwin" else 1024
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(user).ru_maxrss for user in users) * unit / 1e9
