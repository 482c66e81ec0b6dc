"""Checkpoints of a trainer: all of its state, the newest intact one first."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from fine2coarse.training.loop import Trainer


class Checkpoints:
    """The checkpoints of one phase.

    Args:
      folder: where they lie.
      trainer: whose state they hold.
      max_to_keep: how many of the newest stay.
    """

    def __init__(self, folder: pathlib.Path, trainer: Trainer, max_to_keep: int = 2) -> None:
        self._trainer = trainer
        self._checkpoint = tf.train.Checkpoint(state=trainer.state_variables)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(folder), max_to_keep, checkpoint_name="step"
        )

    def save(self) -> None:
        """Writes the state under its step's number."""
        self._manager.save(checkpoint_number=self._trainer.step)

    def restore_newest(self) -> int:
        """Restores the newest checkpoint that can be read; returns its step, 0 where none is."""
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, AssertionError, ValueError) as error:
                print(f"checkpoint {path} cannot be read and is passed over: {error}")
                continue
            return self._trainer.step
        return 0
