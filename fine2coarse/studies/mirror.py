"""A study's folder in a bucket: done in a local copy, every state of it copied there as it comes.

The remote side is any file system that TensorFlow knows (`tf.io.gfile`), such as gs://. The code
that trains and reports needs no other file system for it, and a bucket sees whole files only.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from types import ModuleType

from fine2coarse.backend_start import start_tensorflow
from fine2coarse.files import is_partial, partial_name, replacing
from fine2coarse.paths import is_remote
from fine2coarse.recipes.names import BASELINE, TRANSFER
from fine2coarse.runs.board import CURVES_SUFFIX
from fine2coarse.runs.phase_folder import METRICS, RESULT, STATUS

SCRATCH_VARIABLE = "FINE2COARSE_SCRATCH"  # the local copy, for processes that share one
_HEAVY = ("checkpoints", "tensorboard")
_HEAVY_SUFFIX = ".weights.h5"
_LAST_RESULTS = (f"/{BASELINE}/{RESULT}", f"/{TRANSFER}/{RESULT}")
_NOT_COPIED = ("claims", "data")


def _gfile() -> ModuleType:
    """TensorFlow's file systems.

    Raises:
      MissingBackendError: where it is not installed.
    """
    start_tensorflow("a --workdir on another file system", "work in a local folder and copy that")
    import tensorflow as tf

    return tf.io.gfile


class Mirror:
    """A local folder and the remote one that it is a copy of.

    Args:
      remote: address of the remote folder.
      local: the copy; made where it is missing.
    """

    def __init__(self, remote: str, local: pathlib.Path) -> None:
        self.remote, self.local, self._gfile = remote.rstrip("/"), local, _gfile()
        self._pushed: dict[str, tuple[int, int]] = {}
        local.mkdir(parents=True, exist_ok=True)

    def pull(self, folder: str = "", *, heavy: bool = False) -> None:
        """Fetches what is there and not here; what a process works on here stays as it is.

        Only runs that were finished elsewhere replace what is here of them.

        Args:
          folder: below the two; all where empty.
          heavy: checkpoints, weights and TensorBoard events too.
        """
        names = list(self._remote_files(folder))
        finished = {_run_of(name) for name in names if name.endswith(_LAST_RESULTS)}
        elsewhere = {run for run in finished if not self._is_finished_here(run)}
        for name in names:
            is_here = (self.local / name).exists()
            if (heavy or not _is_heavy(name)) and (not is_here or _run_of(name) in elsewhere):
                self._get(name)

    def _is_finished_here(self, run: str) -> bool:
        return any((self.local / f"{run}{last}").is_file() for last in _LAST_RESULTS)

    def _get(self, name: str) -> None:
        target = self.local / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            self._gfile.copy(f"{self.remote}/{name}", str(partial))
        self._pushed[name] = _stamp(target)

    def push(self, path: pathlib.Path) -> None:
        """Copies what changed below a local path, results last, and removes there what is replaced.

        A kill on the way leaves a state there from which a run goes on: rows of metrics beyond the
        newest checkpoint are dropped, and a result comes after all that belongs to it.
        """
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        names = [p.relative_to(self.local).as_posix() for p in files if not is_partial(p.name)]
        wanted = [name for name in names if name.split("/")[0] not in _NOT_COPIED]
        for name in sorted(wanted, key=_push_order):
            stamp = _stamp(self.local / name)
            if self._pushed.get(name) != stamp:
                self._put(name)
                self._pushed[name] = stamp
        for name in self._remote_files(path.relative_to(self.local).as_posix()):
            if self._is_replaced(name):
                self._gfile.remove(f"{self.remote}/{name}")

    def _is_replaced(self, name: str) -> bool:
        """Whether a remote file is an old checkpoint, or curves of which there are newer ones here.

        Curves of other machines' runs stay: here is no folder for them.
        """
        here = self.local / name
        if here.exists():
            return False
        return "/checkpoints/" in name or (
            name.endswith(CURVES_SUFFIX) and any(here.parent.glob(f"*{CURVES_SUFFIX}"))
        )

    def _put(self, name: str) -> None:
        target = f"{self.remote}/{name}"
        folder, _, last = target.rpartition("/")
        # TensorFlow's own renaming: `files.replacing` knows local folders alone.
        partial = f"{folder}/{partial_name(last)}"
        self._gfile.makedirs(folder)
        self._gfile.copy(str(self.local / name), partial, overwrite=True)
        self._gfile.rename(partial, target, overwrite=True)

    def _remote_files(self, folder: str) -> Iterator[str]:
        """Names below the remote folder, without those of half-written files."""
        start = f"{self.remote}/{folder}".rstrip("/.")
        if not self._gfile.isdir(start):
            return
        for where, _, names in self._gfile.walk(start):
            for name in names:
                relative = f"{where.rstrip('/')}/{name}".removeprefix(f"{self.remote}/")
                if relative.split("/")[0] not in _NOT_COPIED and not is_partial(name):
                    yield relative


def _is_heavy(name: str) -> bool:
    return name.endswith(_HEAVY_SUFFIX) or any(part in _HEAVY for part in name.split("/"))


def _run_of(name: str) -> str:
    """The folder of the study's run that a file belongs to, as in `runs/fine-seed0`."""
    return "/".join(name.split("/")[:2])


def _push_order(name: str) -> tuple[int, str]:
    last = name.rpartition("/")[2]
    after = {METRICS: 0, STATUS: 2, RESULT: 3}
    return after.get(last, 1), name


def _stamp(path: pathlib.Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@contextlib.contextmanager
def open_workdir(workdir: str) -> Iterator[tuple[pathlib.Path, Mirror | None]]:
    """The local folder to work in, and the mirror where the study's folder is remote.

    Processes that this one starts share the local copy, by an environment variable.
    """
    if not is_remote(workdir):
        yield pathlib.Path(workdir), None
        return
    if SCRATCH_VARIABLE in os.environ:
        local = pathlib.Path(os.environ[SCRATCH_VARIABLE])
        yield local, Mirror(workdir, local)
        return
    with tempfile.TemporaryDirectory(prefix="fine2coarse-") as folder:
        os.environ[SCRATCH_VARIABLE] = folder
        try:
            yield pathlib.Path(folder), Mirror(workdir, pathlib.Path(folder))
        finally:
            del os.environ[SCRATCH_VARIABLE]
