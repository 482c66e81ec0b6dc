"""Checkpoints of a trainer: all of its state in one file, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import zipfile
from typing import Any

import numpy as np

from fine2coarse.training.loop import Trainer

BEST = "best.npz"
_META = "meta"


class CheckpointError(RuntimeError):
    """A checkpoint that belongs to another model or optimizer."""


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
    input follows from the step. It does not depend on the strategy.

    Args:
      folder: where they lie; every process of a strategy reads the same one.
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
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob("*.tmp"):
                leftover.unlink()

    def save(self) -> None:
        """Writes the state under its step's number and removes the oldest beyond `max_to_keep`."""
        if not self._writes:
            return
        _write(self._folder / f"step-{self._trainer.step}.npz", self._trainer, {})
        for path in self._newest_first()[self._max_to_keep :]:
            path.unlink()

    def save_if_best(self, score: float) -> bool:
        """Writes the state as the best where its score on validation beats all before it."""
        if not self._writes or score <= self.best_score():
            return False
        _write(self._folder / BEST, self._trainer, {"score": score})
        return True

    def best_score(self) -> float:
        """The best score so far; minus infinity where there is none."""
        path = self._folder / BEST
        if not path.is_file() or damage(path):
            return float("-inf")
        return _read(path)[0]["score"]

    def newest(self) -> pathlib.Path | None:
        """The newest intact checkpoint; None where there is none."""
        return next((path for path in self._newest_first() if not damage(path)), None)

    def restore_newest(self) -> Restored:
        """Restores the newest intact checkpoint.

        A damaged one is reported and passed over; nothing of it reaches the trainer.

        Raises:
          CheckpointError: where it belongs to another model, listing what differs.
        """
        for path in self._newest_first():
            problem = damage(path)
            if problem:
                print(f"checkpoint {path} is damaged and passed over: {problem}")
                continue
            return self._restore(path)
        return Restored(0, self._trainer.strategy.num_replicas_in_sync)

    def restore_best(self) -> Restored:
        """Restores the best on validation.

        Raises:
          CheckpointError: where there is none, it is damaged or belongs to another model.
        """
        path = self._folder / BEST
        if not path.is_file() or damage(path):
            raise CheckpointError(f"{path}: no intact best checkpoint")
        return self._restore(path)

    def _newest_first(self) -> list[pathlib.Path]:
        return sorted(
            self._folder.glob("step-*.npz"), key=lambda p: int(p.stem.split("-")[1]), reverse=True
        )

    def _restore(self, path: pathlib.Path) -> Restored:
        meta, arrays = _read(path)
        variables = self._trainer.state_variables
        wanted = [[name, list(v.shape)] for name, v in zip(_names(self._trainer), variables)]
        if meta["variables"] != wanted:
            only_there = [v for v in meta["variables"] if v not in wanted][:5]
            only_wanted = [v for v in wanted if v not in meta["variables"]][:5]
            raise CheckpointError(
                f"{path} belongs to another model: only there: {only_there}; only wanted: "
                f"{only_wanted}"
            )
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return Restored(meta["step"], meta["num_replicas"])


def damage(path: pathlib.Path) -> str:
    """What is wrong with a checkpoint, found by reading all of it; empty where it is intact.

    Every array carries a checksum (CRC-32, of the ZIP format).
    """
    try:
        meta, arrays = _read(path)
        if len(arrays) != len(meta["variables"]):
            return f"{len(arrays)} of {len(meta['variables'])} variables"
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return str(error) or type(error).__name__
    return ""


def _names(trainer: Trainer) -> list[str]:
    """Names of the variables, without the numbers that Keras gives to repeated names."""
    variables = [*trainer.model.variables, *trainer.optimizer.variables]
    names = [re.sub(r"_?\d+", "", variable.path.rsplit("/", 1)[-1]) for variable in variables]
    return [*names, "unlogged_losses"]


def _write(path: pathlib.Path, trainer: Trainer, extra: dict[str, Any]) -> None:
    variables = trainer.state_variables
    meta = {
        "step": trainer.step,
        "num_replicas": trainer.strategy.num_replicas_in_sync,
        "variables": [[name, list(v.shape)] for name, v in zip(_names(trainer), variables)],
        **extra,
    }
    arrays = {f"v{index:05}": variable.numpy() for index, variable in enumerate(variables)}
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as file:
        np.savez(file, **{_META: np.asarray(json.dumps(meta))}, **arrays)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _read(path: pathlib.Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(str(arrays[_META]))
        return meta, [arrays[name] for name in sorted(arrays.files) if name != _META]
