"""Reruns the theory laboratory: synthetic data, a two-layer network, every claim, every picture.

python launch/theory.py --workdir=runs/theory

writes results/*.csv, figures/*.png and report.html there; experiments already in results/ are read
back, so an interrupted run goes on. All of it takes some minutes, `--experiment=default` seconds,
`--smoke` a minute for all at a small size. What it means: docs/theory.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import pathlib
import sys

from absl import app, flags

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
)

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of results; made where it is missing.")
_EXPERIMENT = flags.DEFINE_list(
    "experiment", ["all"], f"Comma-separated; all, or some of {', '.join(EXPERIMENTS)}."
)
_NUM_SEEDS = flags.DEFINE_integer("num_seeds", None, "Seeds of each trial [20; 2 with --smoke].")
_NUM_WORKERS = flags.DEFINE_integer("num_workers", os.cpu_count(), "Processes.", lower_bound=1)
_SMOKE = flags.DEFINE_bool("smoke", False, "A small size: fewer seeds, dimensions and images.")
flags.mark_flag_as_required("workdir")


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}: flags start with --")
    names = _chosen(_EXPERIMENT.value)
    if _NUM_SEEDS.value is not None and _NUM_SEEDS.value < 1:
        raise app.UsageError(f"--num_seeds is {_NUM_SEEDS.value}: expected one or more")
    # One thread a process: the processes share the cores, and a product's rounding does not
    # depend on how many threads computed it. Read when NumPy is first imported.
    for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ[variable] = "1"
    try:
        page = run(pathlib.Path(_WORKDIR.value), names)
    except ValueError as error:
        sys.exit(f"launch/theory.py: {error}")
    print(f"report: {page}")


def run(workdir: pathlib.Path, names: list[str]) -> pathlib.Path:
    """Computes what is missing, judges and draws it; returns the report's path."""
    from fine2coarse.reporting import laboratory as pages
    from fine2coarse.theory import experiments

    scale = experiments.SMOKE if _SMOKE.value else experiments.Scale()
    if _NUM_SEEDS.value is not None:
        scale = dataclasses.replace(scale, num_seeds=_NUM_SEEDS.value)
    known = experiments.all_experiments(scale)
    for folder in (workdir / "results", workdir / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    sections = [_section(workdir, known[name], scale.num_seeds) for name in names]
    facts = dataclasses.asdict(scale) | {"experiments": ", ".join(names)}
    report = workdir / "report.html"
    pages.write_page(report, "The theory, as a laboratory", _answer(sections), facts, sections)
    return report


def _section(workdir, experiment, num_seeds):
    """Rows, verdicts and pictures of one experiment, as a section of the page."""
    from fine2coarse.reporting import laboratory as pages
    from fine2coarse.theory import claims, laboratory

    rows = laboratory.compute_or_read(
        experiment, num_seeds, workdir / "results", _NUM_WORKERS.value
    )
    verdicts = [
        pages.Verdict(**dataclasses.asdict(claim))
        for claim in claims.claims_of(experiment.name, rows)
    ]
    pictures = [(_draw(workdir, picture, rows), picture.words) for picture in experiment.pictures]
    source = f"results/{experiment.name}.csv"
    title = experiment.name.replace("_", " ").capitalize()
    return pages.Section(title, experiment.question, pictures, verdicts, source)


def _draw(workdir, picture, rows):
    from fine2coarse.reporting import laboratory as pages
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


def _chosen(words):
    """The experiments asked for, in the order of the report."""
    for word in words:
        if word not in (*EXPERIMENTS, "all"):
            near = difflib.get_close_matches(word, (*EXPERIMENTS, "all"), n=1, cutoff=0)
            raise app.UsageError(
                f"--experiment={word}: no such experiment; did you mean {near[0]}? There are "
                f"{', '.join(EXPERIMENTS)} and all"
            )
    return [name for name in EXPERIMENTS if name in words or "all" in words]


if __name__ == "__main__":
    app.run(main)
