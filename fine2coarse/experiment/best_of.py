"""The best of several optimizers, chosen on held-out training images, never on test images."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

import tensorflow as tf

from fine2coarse.experiment.phases import execute
from fine2coarse.experiment.run import Run
from fine2coarse.experiment.run_folder import RunFolder
from fine2coarse.training.spec import OptimizerSpec


def best_of(
    run: Run,
    choices: Mapping[str, OptimizerSpec],
    folder: pathlib.Path,
    strategy: tf.distribute.Strategy,
    announce: Callable[[str], None] = print,
) -> Run:
    """Tries each optimizer on all but the held-out training images.

    Args:
      run: what to do; `phase.validation_share` says how many images are held out.
      choices: name → optimizer.
      folder: each choice's run goes into a folder of its name here; finished ones are kept.
      strategy: the process's strategy.
      announce: told one line a choice.

    Returns:
      The run with the best optimizer (the first of equals), on all training images.

    Raises:
      ValueError: where nothing is held out.
    """
    if not run.phase.validation_share:
        raise ValueError("best_of compares on held-out training images: set validation_share")
    accuracies = {}
    for name, optimizer in choices.items():
        phase = dataclasses.replace(run.phase, optimizer=optimizer)
        trial = dataclasses.replace(run, phase=phase, evaluate=None)
        accuracies[name] = execute(trial, RunFolder(folder / name), strategy)["validation_accuracy"]
        announce(f"choice {name}: {100 * accuracies[name]:.2f} % on held-out training images")
    best = max(accuracies, key=accuracies.get)
    phase = dataclasses.replace(
        run.phase, optimizer=choices[best], validation_share=0.0, final_weights="last"
    )
    return dataclasses.replace(run, phase=phase)
