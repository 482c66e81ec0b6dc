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
        """Restores the newest intact checkpoint; returns its step, 0 where there is none.

        A damaged one is reported and passed over; nothing of it reaches the trainer.
        """
        for path in reversed(self._manager.checkpoints):
            problem = _damage(path)
            if problem:
                print(f"checkpoint {path} is damaged and passed over: {problem}")
                continue
            self._checkpoint.restore(path).assert_consumed()
            return self._trainer.step
        return 0


def _damage(path: str) -> str:
    """What is wrong with a checkpoint, found by reading all of it; empty where it is intact."""
    try:
        reader = tf.train.load_checkpoint(path)
        for key in reader.get_variable_to_shape_map():
            reader.get_tensor(key)
    # The reader's C++ errors arrive as plain Python ones, of a kind that depends on the damage.
    except (tf.errors.OpError, IndexError, ValueError, RuntimeError, KeyError) as error:
        return str(error) or type(error).__name__
    return ""
