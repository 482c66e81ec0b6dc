"""What a study costs over the bare training of its runs.

  python benchmarks/study.py                    (20 runs, two rounds)
  python benchmarks/study.py --pretrain_steps=400 --transfer_steps=100

The study's side is launch/study.py's own work: claims, run folders, logs, checkpoints, evaluation
of both phases, weights, results.csv. The bare side builds the same models and trains them for the
same steps on the same batches, and does nothing else. Both read the same prepared data. The sides
take turns, each in a process of its own; CPU seconds count where the machine is busy.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))
SIDES = ("study", "bare")


def make_recipe(arguments: argparse.Namespace):
    """The demo's study, with as many runs and steps as asked for."""
    sys.path.insert(0, str(_ROOT / "configs"))
    import demo

    from fine2coarse.experiment.recipe import Recipe

    config = demo.get_config().unlock()
    num_arms = len(config.arms) + 1
    config.seeds = tuple(range(-(-arguments.num_runs // num_arms)))
    for phase, steps in (
        (config.pretrain, arguments.pretrain_steps),
        (config.transfer, arguments.transfer_steps),
    ):
        phase.total_steps = steps
        phase.checkpoint_every_steps = max(steps // 2, 1)
    config.pretrain.optimizer.warmup_steps = 1
    config.transfer.optimizer.warmup_steps = 1
    return Recipe.from_config(config)


def run_study(recipe, units, data, strategy) -> None:
    """All that a study does, but for the report."""
    from fine2coarse.experiment.study import Study

    with tempfile.TemporaryDirectory() as folder:
        study = Study(recipe, pathlib.Path(folder))
        study.run(data, strategy, announce=lambda line: None, units=units)


def run_bare(recipe, units, data, strategy) -> None:
    """The same training and nothing else."""
    import gc

    import keras

    from fine2coarse.experiment import study
    from fine2coarse.experiment.recipe import BASELINE

    for unit in units:
        if unit.arm == BASELINE:
            runs = [study.baseline_run(recipe, unit.seed, data)]
        else:
            space = data.spaces[unit.arm, unit.seed]
            runs = [
                study.pretraining_run(recipe, space, unit.seed, data, unit.arm),
                study.transfer_run(recipe, unit.seed, data, None, unit.arm),
            ]
        for run in runs:
            train(run, strategy)
        keras.backend.clear_session()
        gc.collect()


def train(run, strategy) -> None:
    """Builds the model and trains it, without a stop on the way."""
    import dataclasses

    from fine2coarse.experiment import phases
    from fine2coarse.training.loop import Trainer
    from fine2coarse.training.strategy import choose_jit_compile

    steps = run.phase.total_steps
    phase = dataclasses.replace(run.phase, log_every_steps=steps, checkpoint_every_steps=steps)
    run = dataclasses.replace(run, phase=phase)
    jit_compile = choose_jit_compile(strategy, run.backbone.name)
    trainer = Trainer(strategy, lambda: phases._build_model(run), phase, jit_compile)
    labels = run.train.labelled(run.space)
    for _ in trainer.train(phases._training_batches(run, labels, 0)):
        pass


def side(arguments: argparse.Namespace) -> None:
    """Runs one side and prints what it took as JSON."""
    import _sides

    from fine2coarse.datasets.open import open_dataset
    from fine2coarse.experiment.study import load_study_data
    from fine2coarse.experiment.units import plan_units
    from fine2coarse.training.strategy import make_strategy

    recipe = make_recipe(arguments)
    strategy = make_strategy("one_device")
    dataset = open_dataset(recipe.dataset.name, recipe.dataset.options, arguments.data_dir)
    data = load_study_data(recipe, dataset)
    units = plan_units(recipe)[: arguments.num_runs]
    started, cpu = time.perf_counter(), _sides.cpu_seconds()
    {"study": run_study, "bare": run_bare}[arguments.side](recipe, units, data, strategy)
    phases = (recipe.pretrain, recipe.transfer)
    num_images = len(units) * sum(p.total_steps * p.batch_size for p in phases)
    result = {
        "num_images": num_images,
        "seconds": time.perf_counter() - started,
        "cpu_seconds": _sides.cpu_seconds() - cpu,
    }
    print(json.dumps(result))


def main() -> None:
    """Runs both sides in turn and prints the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--num_runs", type=int, default=20)
    parser.add_argument("--pretrain_steps", type=int, default=80)
    parser.add_argument("--transfer_steps", type=int, default=20)
    parser.add_argument("--num_rounds", type=int, default=2)
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments)
        return
    import _sides

    with tempfile.TemporaryDirectory() as folder:
        data_dir = arguments.data_dir or folder
        command = [sys.executable, __file__, f"--data_dir={data_dir}"]
        command += [
            f"--{name}={getattr(arguments, name)}"
            for name in ("num_runs", "pretrain_steps", "transfer_steps")
        ]
        results: dict[str, list[_sides.Measured]] = {name: [] for name in SIDES}
        for number in range(arguments.num_rounds):
            for name in SIDES if number % 2 == 0 else reversed(SIDES):
                results[name].append(_sides.run_side([*command, f"--side={name}"]))
                print(f"round {number + 1} {name}: {results[name][-1]}", flush=True)
    _sides.report(results, "bare")
    print("bare / study above 1: what the study costs over its bare training")


if __name__ == "__main__":
    main()
