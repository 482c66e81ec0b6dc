"""The best of several optimizers, chosen on held-out training images, never on test images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from fine2coarse.experiment.run import Run
from fine2coarse.training.spec import OptimizerSpec

CHOICES = "choices"  # folder of the trials, beside the phase they are for


def best_of(
    run: Run,
    choices: Mapping[str, OptimizerSpec],
    do: Callable[[Run, str], dict[str, Any]],
    announce: Callable[[str], None] = print,
) -> Run:
    """Tries each optimizer on all but the held-out training images.

    Args:
      run: what to do; `phase.validation_share` says how many images are held out.
      choices: name → optimizer.
      do: does a choice's run under the choice's name, or reads back a finished one's result.
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
        accuracies[name] = do(trial, name)["validation_accuracy"]
        announce(f"choice {name}: {100 * accuracies[name]:.2f} % on held-out training images")
    best = max(accuracies, key=accuracies.get)
    phase = dataclasses.replace(
        run.phase, optimizer=choices[best], validation_share=0.0, final_weights="last"
    )
    return dataclasses.replace(run, phase=phase)
