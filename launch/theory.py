"""Reruns the theory laboratory: synthetic data, a two-layer network, every claim, every picture.

python launch/theory.py --workdir=runs/theory

writes results/*.csv, figures/*.png and report.html there; experiments already in results/ are read
back, so an interrupted run goes on. All of it takes minutes, `--experiment=default` seconds; add
`--smoke` to see everything at a small size. What it means: docs/theory.md.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib

from absl import app, flags, logging

from fine2coarse.cli.path_flags import define_path, fail, parse_flags
from fine2coarse.cli.startup import start_tensorflow

KERAS_PATCHES = "keras_patches"
EXPERIMENTS = (
    "default",
    "equal_loss",
    "mechanism",
    "subclasses",
    "granularity",
    "hard_share",
    "distractors",
    "label_noise",
    "samples",
    "dimension",
    "superclasses",
    "label_per_image",
    "finetuning",
    "transfers",
    KERAS_PATCHES,
)
_MAX_KERAS_SEEDS = 5

_WORKDIR = define_path("workdir", None, "Folder of results; made where it is missing.")
_EXPERIMENT = flags.DEFINE_list(
    "experiment", ["all"], f"Comma-separated; all, or some of {', '.join(EXPERIMENTS)}."
)
_NUM_SEEDS = flags.DEFINE_integer(
    "num_seeds", None, "Seeds of each trial; default 20, with --smoke 2.", lower_bound=1
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers", os.cpu_count(), "Processes of the simulation.", lower_bound=1
)
_SMOKE = flags.DEFINE_bool("smoke", False, "A small size: fewer seeds, dimensions and images.")
_DATA_DIR = define_path(
    "data_dir", None, f"Folder of prepared data for {KERAS_PATCHES}; default: `data` in --workdir."
)
flags.mark_flag_as_required("workdir")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        fail(f"unexpected argument {argv[1]!r}; flags begin with --")
    logging.set_verbosity(logging.WARNING)
    names = _chosen(_EXPERIMENT.value)
    # One thread for each product where everything runs in this process, whatever the user set: rows
    # would differ in their last digits from those of several processes. See trial_rows.py.
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from fine2coarse.claims import AlreadyHeld, hold

    try:
        workdir = pathlib.Path(_WORKDIR.value)
        with hold(workdir / "claims", "theory", f"--workdir={workdir}"):
            page = _run(workdir, names)
    except (ValueError, OSError, AlreadyHeld) as error:
        if os.environ.get("FINE2COARSE_TRACEBACK"):
            raise
        fail(str(error))
    print(f"report: {page}")


def _chosen(words: list[str]) -> list[str]:
    """The experiments asked for, in the order of the report."""
    from fine2coarse.nearest import unknown

    for word in words:
        if word not in (*EXPERIMENTS, "all"):
            fail(unknown("experiment", word, ("all", *EXPERIMENTS)))
    if not words:
        fail("--experiment is empty: expected all, or names with commas between")
    return [name for name in EXPERIMENTS if name in words or "all" in words]


def _run(workdir: pathlib.Path, names: list[str]) -> pathlib.Path:
    """Computes what is missing, judges and draws it; returns the report's path."""
    from fine2coarse.report import theory_page as pages
    from fine2coarse.theory import experiments

    for folder in (workdir / "results", workdir / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    scale = experiments.SMOKE if _SMOKE.value else experiments.Scale()
    if _NUM_SEEDS.value is not None:
        scale = dataclasses.replace(scale, num_seeds=_NUM_SEEDS.value)
    known = experiments.all_experiments(scale)
    if KERAS_PATCHES in names:
        known[KERAS_PATCHES] = _keras_patches(workdir)
    sections = [_section(workdir, known[name], scale.num_seeds) for name in names]
    facts = dataclasses.asdict(scale) | {"dimensions": ", ".join(map(str, scale.dimensions))}
    report = workdir / "report.html"
    pages.write_page(report, "The theory, as a laboratory", _answer(sections), facts, sections)
    return report


def _keras_patches(workdir):
    """The default question, asked of the same network in Keras on the demo's pictures."""
    start_tensorflow()
    from fine2coarse.theory import keras_patches
    from fine2coarse.theory.experiments import Experiment
    from fine2coarse.theory.pictures import Line, Picture

    @functools.cache
    def load():
        from fine2coarse.claims import first_to_prepare
        from fine2coarse.datasets.open import open_dataset
        from fine2coarse.input.examples import load_examples

        data_dir, options = _DATA_DIR.value or str(workdir / "data"), {"seed": 0}
        with first_to_prepare(data_dir, "demo", options, logging.warning):
            demo = open_dataset("demo", options, data_dir)
        train, test = (load_examples(demo.read(split)) for split in ("train", "test"))
        return keras_patches.PatchData(train, test, demo.taxonomy)

    biases = (("bias falls, pl = 5", 5.0), ("constant bias", math.inf))
    levels = ((1, "superclass"), (2, "middle"), (8, "fine"))  # classes in a superclass
    trials = tuple(
        keras_patches.PatchTrial(curve, groups, level, bias_polylog=pl)
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
        lambda trial, seeds: keras_patches.run_patch_trial(load(), trial, seeds),
    )


def _section(workdir, experiment, num_seeds):
    """Rows, verdicts and pictures of one experiment, as a section of the page."""
    from fine2coarse.report import theory_page as pages
    from fine2coarse.theory import trial_rows
    from fine2coarse.theory.verdicts import judge

    num_workers = _NUM_WORKERS.value
    if experiment.name == KERAS_PATCHES:  # TensorFlow spreads over the cores by itself
        num_seeds, num_workers = min(num_seeds, _MAX_KERAS_SEEDS), 1
    rows = trial_rows.compute_or_read(experiment, num_seeds, workdir / "results", num_workers)
    verdicts = [
        pages.Verdict(**dataclasses.asdict(claim)) for claim in judge(experiment.name, rows)
    ]
    pictures = [(_draw(workdir, picture, rows), picture.words) for picture in experiment.pictures]
    source = f"results/{experiment.name}.csv"
    title = experiment.name.replace("_", " ").capitalize()
    return pages.Section(title, experiment.question, pictures, verdicts, source)


def _draw(workdir, picture, rows):
    from fine2coarse.report import theory_page as pages
    from fine2coarse.theory.pictures import points

    series = [
        pages.Series(
            line.label,
            [(x, at.mean, at.low, at.high) for x, at in points(rows, line, picture.x)],
        )
        for line in picture.lines
    ]
    path = workdir / "figures" / f"{picture.name}.png"
    pages.draw(
        path,
        series,
        x_label=picture.x_label,
        y_label=picture.y_label,
        x_scale=picture.x_scale,
        reference=picture.reference,
    )
    return path


def _answer(sections):
    """One sentence, counted from the verdicts."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    predictions = [verdict for verdict in verdicts if not verdict.is_asked]
    failed = [verdict.statement for verdict in predictions if not verdict.holds]
    held = len(predictions) - len(failed)
    text = f"{held} of {len(predictions)} predictions of the theory hold in every run."
    return text + (f" Not: {'; '.join(failed)}." if failed else "")


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
