"""What a study costs over the bare training of its runs.

  python benchmarks/study.py                    (20 runs of the demo)
  python benchmarks/study.py --pretrain_steps=80 --transfer_steps=20
  KERAS_BACKEND=jax python benchmarks/study.py --packed=packs/demo        (without TensorFlow)

The study's side is launch/study.py's own work: claims, run folders, logs, checkpoints, evaluation
of both phases, weights, results.csv. The bare side builds the same models and trains them for the
same steps on the same batches, and does nothing else. Both read the same images. The sides
are processes of their own that take turns run by run, so that a machine that is slower for a while
is so for both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))
SIDES = ("study", "bare")


def make_recipe(arguments: argparse.Namespace):
    """The demo's study, with as many runs and steps as asked for."""
    sys.path.insert(0, str(_ROOT / "configs"))
    import demo

    from fine2coarse.recipes.recipe import Recipe

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


def study_unit(recipe, data, engine, folder: pathlib.Path) -> Callable:
    """A function that does for a run all that a study does, but for the report."""
    from fine2coarse.studies.study import Study

    study = Study(recipe, folder)
    return lambda run: study.run(data, engine, announce=lambda line: None, runs=[run])


def bare_unit(recipe, data, engine, folder: pathlib.Path) -> Callable:
    """A function that does for a run the same training and nothing else."""
    import gc

    import keras

    def do(run) -> None:
        for training in trainings(recipe, data, run):
            train(training, engine)
        keras.backend.clear_session()
        gc.collect()

    return do


def trainings(recipe, data, run) -> list:
    """The runs of a run that train, transfers from fresh weights: they cost the same."""
    import dataclasses

    from fine2coarse.models import Summation
    from fine2coarse.recipes.names import BASELINE, NEW
    from fine2coarse.recipes.transfer_spec import NONE, SUMMED
    from fine2coarse.runs.transfers import arm_candidates, baseline_candidates
    from fine2coarse.studies import run_phases
    from fine2coarse.studies.run_phases import TransferStart

    if run.arm == BASELINE:
        first, source = run_phases.baseline_run(recipe, run.seed, data), TransferStart(None)
        candidates = baseline_candidates(recipe.transfer, recipe.pretrain, recipe.transfer_choices)
    else:
        space = data.spaces[run.arm, run.seed]
        first = run_phases.pretraining_run(recipe, space, run.seed, data, run.arm)
        class_map = data.class_map(space)
        can_sum = data.can_sum(class_map)
        source = TransferStart(None, class_map, first.phase.loss, can_sum=can_sum)
        _, phase = recipe.phases_of(run.arm)
        candidates = arm_candidates(phase, recipe.transfer_choices, source.can_sum)
    runs = [first]
    for transfer in candidates:
        if transfer.mode == NONE:
            continue
        fresh = dataclasses.replace(transfer, head=NEW, from_branch=False)
        run = run_phases.transfer_run(recipe, run.seed, data, source, fresh)
        if transfer.head == SUMMED:
            summation = Summation(source.class_map, source.fine_loss, run.phase.loss)
            run = dataclasses.replace(run, summation=summation)
        runs.append(run)
    return runs


def train(run, engine) -> None:
    """Builds the model and trains it, without a stop on the way."""
    import dataclasses

    from fine2coarse.runs import execution
    from fine2coarse.training.engine import choose_jit_compile
    from fine2coarse.training.loop import Trainer

    steps = run.phase.total_steps
    phase = dataclasses.replace(run.phase, log_every_steps=steps, checkpoint_every_steps=steps)
    run = dataclasses.replace(run, phase=phase)
    jit_compile = choose_jit_compile(engine, run.backbone.name)
    trainer = Trainer(engine, lambda: execution._build_model(run), phase, jit_compile)
    labels = run.train.labelled(run.space)
    for _ in trainer.train(execution._training_feed(run, labels, 0)):
        pass


def side(arguments: argparse.Namespace) -> None:
    """Does a run for every line of the standard input and answers with what it took, as JSON."""
    import _sides

    from fine2coarse.backend_start import start_backend

    start_backend()  # as in a study: deterministic operations, programs kept
    from fine2coarse.studies.open_study import open_study
    from fine2coarse.studies.run_plan import plan_runs
    from fine2coarse.training.engine import make_engine

    recipe = make_recipe(arguments)
    engine = make_engine("one_device")
    data = open_study(recipe, arguments.data_dir, packed=arguments.packed or None, devices=engine)
    make = {"study": study_unit, "bare": bare_unit}[arguments.side]
    with tempfile.TemporaryDirectory() as folder:
        do = make(recipe, data, engine, pathlib.Path(folder))
        print("{}", flush=True)  # ready
        for run, _ in zip(plan_runs(recipe), sys.stdin):
            started, cpu = time.perf_counter(), _sides.cpu_seconds()
            do(run)
            took = {
                "seconds": time.perf_counter() - started,
                "cpu_seconds": _sides.cpu_seconds() - cpu,
            }
            print(json.dumps({"run": str(run), **took}), flush=True)


def start(command: list[str]) -> subprocess.Popen:
    """Starts a side and waits until it has its data."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8", errors="replace")
    next_answer(process)
    return process


def take_turn(process: subprocess.Popen) -> dict:
    """Lets a side do its next run."""
    process.stdin.write("next\n")
    process.stdin.flush()
    return next_answer(process)


def next_answer(process: subprocess.Popen) -> dict:
    """The next line of JSON that a side prints."""
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    sys.exit(f"{' '.join(process.args)} ended with code {process.wait()}")


def main() -> None:
    """Alternates study and bare training, and prints the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--num_runs", type=int, default=20)
    parser.add_argument("--pretrain_steps", type=int, default=400)
    parser.add_argument("--transfer_steps", type=int, default=100)
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--packed", default="", help="the demo's pack, in place of its dataset")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.num_runs < 2:
        parser.error(f"expected --num_runs of 2 or more, got {arguments.num_runs}")
    if arguments.side:
        side(arguments)
        return
    import _sides

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, f"--data_dir={arguments.data_dir or folder}"]
        command += [
            f"--{name}={getattr(arguments, name)}"
            for name in ("num_runs", "pretrain_steps", "transfer_steps", "packed")
        ]
        found: dict[str, list[dict]] = {name: [] for name in SIDES}
        with contextlib.ExitStack() as stack:
            processes = {
                name: stack.enter_context(start([*command, f"--side={name}"])) for name in SIDES
            }
            for number in range(arguments.num_runs):
                for name in SIDES if number % 2 == 0 else reversed(SIDES):
                    found[name].append(take_turn(processes[name]))
                took = ", ".join(f"{name} {found[name][-1]['seconds']:.1f} s" for name in SIDES)
                print(f"{found['study'][-1]['run']}: {took}", flush=True)
            for process in processes.values():
                process.stdin.close()
    for what in ("seconds", "cpu_seconds"):
        study, bare = ([run[what] for run in found[name]] for name in SIDES)
        ratio = _sides.ratio_in_turns(study, bare, "run")
        print(f"{what}: study {sum(study):.1f}, bare {sum(bare):.1f}, {ratio}")


if __name__ == "__main__":
    main()
