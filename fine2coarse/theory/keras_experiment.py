"""The default question, asked of the same network in Keras on the demo's pictures."""

from __future__ import annotations

import functools
import math

from fine2coarse.datasets.open import open_prepared
from fine2coarse.input.examples import load_examples
from fine2coarse.theory.experiments import Experiment
from fine2coarse.theory.keras_patches import PatchData, PatchTrial, run_patch_trial
from fine2coarse.theory.names import KERAS_PATCHES
from fine2coarse.theory.pictures import Line, Picture


def keras_experiment(data_dir: str) -> Experiment:
    """The experiment; the demo is prepared in `data_dir` on first use, and only then.

    Args:
      data_dir: folder of prepared data.
    """

    @functools.cache
    def load() -> PatchData:
        demo = open_prepared("demo", {"seed": 0}, data_dir)
        train, test = (load_examples(demo.read(split)) for split in ("train", "test"))
        return PatchData(train, test, demo.taxonomy)

    biases = (("bias falls, pl = 5", 5.0), ("constant bias", math.inf))
    levels = ((1, "superclass"), (2, "middle"), (8, "fine"))  # classes in a superclass
    trials = tuple(
        PatchTrial(curve, groups, level, bias_polylog=pl)
        for curve, pl in biases
        for groups, level in levels
    )
    last = (("step", max(trials[0].snapshots)),)
    by_level = Picture(
        "keras_patches_granularity",
        "value",
        "classes in a superclass: superclass, middle, fine labels",
        "superclass error, hard images",
        tuple(
            Line(f"{curve} ({readout})", curve, f"hard_error_{readout}", last)
            for curve, _ in biases
            for readout in ("max", "sum")
        ),
        x_scale="log2",
    )
    by_step = Picture(
        "keras_patches_steps",
        "step",
        "SGD steps",
        "superclass error, hard images",
        tuple(
            Line(f"{level} labels (max)", biases[0][0], "hard_error_max", (("value", groups),))
            for groups, level in levels
        ),
        x_scale="log10",
    )
    question = "Does it hold in Keras, on the patches of the demo's pictures?"
    return Experiment(
        KERAS_PATCHES,
        question,
        trials,
        (by_level, by_step),
        lambda trial, seeds: run_patch_trial(load(), trial, seeds),
    )
