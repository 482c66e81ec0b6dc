"""Checkpoints of a trainer: all of its state in one file, written whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fine2coarse.errors import Fine2CoarseError, UsageError
from fine2coarse.files import read_json, remove_partial, write_atomic, write_json
from fine2coarse.training.loop import Trainer

BEST = "best.npz"
BEST_SCORE = "best.json"  # step and score of the best, so that nobody needs to read all of it
_META = "meta"
_log = logging.getLogger(__name__)


class CheckpointError(UsageError, RuntimeError):
    """A checkpoint that is missing or damaged, or belongs to another model or optimizer."""


class _Damaged(Fine2CoarseError):
    """A file that is no whole checkpoint."""


@dataclasses.dataclass(frozen=True)
class Restored:
    """What was found.

    Attributes:
      step: of the checkpoint; 0 where there is none.
      num_replicas: that the run had then.
    """

    step: int
    num_replicas: int


class Checkpoints:
    """The checkpoints of one phase.

    A file holds model, optimizer, moving averages, seed generators and step; the position in the
    input follows from the step. It depends neither on the strategy nor on the backend.

    Args:
      folder: where they lie; every process of an engine reads the same one.
      trainer: whose state they hold.
      max_to_keep: how many of the newest stay; the best stays besides.
      writes: whether this process writes them: one of all.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        trainer: Trainer,
        max_to_keep: int = 2,
        writes: bool = True,
    ) -> None:
        self._folder, self._trainer, self._max_to_keep = folder, trainer, max_to_keep
        self._writes = writes
        self._best_score: float | None = None  # not looked up yet
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            remove_partial(folder)
            for leftover in folder.glob("*.npz.tmp"):  # of earlier versions
                leftover.unlink()

    def save(self) -> None:
        """Writes the state under its step's number and removes the oldest beyond `max_to_keep`."""
        if not self._writes:
            return
        _write(self._folder / f"step-{self._trainer.step}.npz", self._trainer, {})
        for path in self._newest_first()[self._max_to_keep :]:
            path.unlink()

    def save_if_best(self, score: float) -> bool:
        """Writes the state as the best where its score beats all before it.

        The state is written first and its score after it. A process that is killed in between
        leaves a score of another step, which `best_score` does not believe.

        Args:
          score: on validation, higher is better.

        Returns:
          Whether it was written; False in the processes that write nothing.
        """
        if not self._writes or score <= self.best_score():
            return False
        _write(self._folder / BEST, self._trainer, {"score": score})
        self._best_score = score
        self._note_best(self._trainer.step, score)
        return True

    def best_score(self) -> float:
        """The best score so far; minus infinity where there is none.

        Found once, by `best.json` where that belongs to `best.npz`; else (after a kill between the
        two, in folders of earlier versions) all of `best.npz` is read, and `best.json` is written.
        """
        if self._best_score is None:
            self._best_score = self._find_best_score()
        return self._best_score

    def _find_best_score(self) -> float:
        path = self._folder / BEST
        if not path.is_file():
            return float("-inf")
        try:
            meta = _read_meta(path)
            if not _is_noted(self._folder / BEST_SCORE, path, meta):
                _read(path)
                self._note_best(meta["step"], meta["score"])
            return meta["score"]
        except _Damaged as problem:
            _log.warning("checkpoint %s is damaged and will be written anew: %s", path, problem)
            return float("-inf")

    def _note_best(self, step: int, score: float) -> None:
        if self._writes:
            num_bytes = (self._folder / BEST).stat().st_size
            note = {"step": step, "score": score, "num_bytes": num_bytes}
            write_json(self._folder / BEST_SCORE, note)

    def newest(self) -> pathlib.Path | None:
        """The newest intact checkpoint; None where there is none."""
        for path in self._newest_first():
            with contextlib.suppress(_Damaged):
                _read(path)
                return path
        return None

    def restore_newest(self) -> Restored:
        """Restores the newest intact checkpoint.

        A damaged one is reported and passed over; nothing of it reaches the trainer.

        Raises:
          CheckpointError: where it belongs to another model, listing what differs.
        """
        for path in self._newest_first():
            try:
                return self._restore(path)
            except _Damaged as problem:
                _log.warning("checkpoint %s is damaged and passed over: %s", path, problem)
        return Restored(0, self._trainer.engine.num_replicas)

    def restore_best(self) -> Restored:
        """Restores the best on validation.

        Raises:
          CheckpointError: where there is none, it is damaged or belongs to another model.
        """
        path = self._folder / BEST
        try:
            return self._restore(path)
        except _Damaged as problem:
            raise CheckpointError(
                f"{path}: no intact best checkpoint ({problem}); to train this phase again, remove "
                f"{self._folder}"
            ) from problem

    def _newest_first(self) -> list[pathlib.Path]:
        return sorted(
            self._folder.glob("step-*.npz"), key=lambda p: int(p.stem.split("-")[1]), reverse=True
        )

    def _restore(self, path: pathlib.Path) -> Restored:
        """Gives a checkpoint's state to the trainer, once all of it has been read."""
        meta, arrays = _read(path)
        variables = self._trainer.state_variables
        wanted = [[name, list(v.shape)] for name, v in zip(_names(self._trainer), variables)]
        newer = {id(variable) for variable in self._trainer.newer_variables}
        is_newer = [id(variable) in newer for variable in variables]
        older = [what for what, is_new in zip(wanted, is_newer) if not is_new]
        if meta["variables"] == older:
            variables = [v for v, is_new in zip(variables, is_newer) if not is_new]
        elif meta["variables"] != wanted:
            only_there = [v for v in meta["variables"] if v not in wanted][:5]
            only_wanted = [v for v in wanted if v not in meta["variables"]][:5]
            raise CheckpointError(
                f"{path} belongs to another model: only there: {only_there}; only wanted: "
                f"{only_wanted}"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        if meta["variables"] == older:
            self._trainer.start_newer_variables()
        return Restored(meta["step"], meta["num_replicas"])


def _names(trainer: Trainer) -> list[str]:
    """Names of the variables, without the numbers that Keras gives to repeated names."""
    variables = [*trainer.model.variables, *trainer.optimizer.variables]
    names = [re.sub(r"_?\d+", "", variable.path.rsplit("/", 1)[-1]) for variable in variables]
    return [*names, "unlogged_losses", "unlogged_part"]


def _write(path: pathlib.Path, trainer: Trainer, extra: dict[str, Any]) -> None:
    variables = trainer.state_variables
    meta = {
        "step": trainer.step,
        "num_replicas": trainer.engine.num_replicas,
        "variables": [[name, list(v.shape)] for name, v in zip(_names(trainer), variables)],
        **extra,
    }
    arrays = {f"v{index:05}": variable.numpy() for index, variable in enumerate(variables)}
    header = {_META: np.asarray(json.dumps(meta))}
    write_atomic(path, lambda file: np.savez(file, **header, **arrays))


def _is_noted(note: pathlib.Path, best: pathlib.Path, meta: Mapping[str, Any]) -> bool:
    """Whether `best.json` was written after this very `best.npz`, not after an earlier one."""
    try:
        found = read_json(note)
        told = found["step"], found["score"], found["num_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return told == (meta["step"], meta["score"], best.stat().st_size)


def _read_meta(path: pathlib.Path) -> dict[str, Any]:
    """What a checkpoint tells of itself, without its arrays."""
    with _reading(path) as arrays:
        return _meta_of(arrays)


def _read(path: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """All of a checkpoint. Every array carries a checksum (CRC-32, of the ZIP format)."""
    with _reading(path) as arrays:
        meta = _meta_of(arrays)
        values = [arrays[name] for name in sorted(arrays.files) if name != _META]
    if len(values) != len(meta["variables"]):
        raise _Damaged(f"{len(values)} of {len(meta['variables'])} variables")
    return meta, values


def _meta_of(arrays: np.lib.npyio.NpzFile) -> dict[str, Any]:
    meta = json.loads(str(arrays[_META]))
    for name in ("step", "num_replicas", "variables"):
        if name not in meta:
            raise _Damaged(f"its header has no {name!r}")
    return meta


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[np.lib.npyio.NpzFile]:
    """An open checkpoint; what cannot be read of it, here or in the body, raises `_Damaged`."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _Damaged(str(error) or type(error).__name__) from error
