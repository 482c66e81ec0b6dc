"""The theory's laboratory from its simulation to its page: rows, verdicts, pictures."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from fine2coarse.report import theory_page as pages
from fine2coarse.theory import trial_rows
from fine2coarse.theory.experiments import Experiment, Scale, all_experiments
from fine2coarse.theory.names import KERAS_PATCHES
from fine2coarse.theory.pictures import Picture, points
from fine2coarse.theory.trials import Row
from fine2coarse.theory.verdicts import verdicts_on

_MAX_KERAS_SEEDS = 5


def report_theory(
    workdir: pathlib.Path,
    names: Sequence[str],
    scale: Scale,
    *,
    data_dir: str,
    num_workers: int = 1,
) -> pathlib.Path:
    """Computes what is missing, draws it and writes the page.

    Args:
      workdir: holds `results/` (read back where an experiment is there already), `figures/` and
        `report.html`.
      names: of the experiments, in the order of the page.
      scale: sizes and number of seeds.
      data_dir: folder of prepared data, for the experiment in Keras.
      num_workers: processes of the simulation.

    Returns:
      Path of the page.
    """
    for folder in (workdir / "results", workdir / "figures"):
        folder.mkdir(parents=True, exist_ok=True)
    known = all_experiments(scale)
    if KERAS_PATCHES in names:
        from fine2coarse.theory.keras_experiment import keras_experiment

        known[KERAS_PATCHES] = keras_experiment(data_dir)
    sections = [_section(workdir, known[name], scale.num_seeds, num_workers) for name in names]
    facts = dataclasses.asdict(scale) | {"dimensions": ", ".join(map(str, scale.dimensions))}
    page = workdir / "report.html"
    pages.write_page(page, "The theory, as a laboratory", _answer(sections), facts, sections)
    return page


def _section(
    workdir: pathlib.Path, experiment: Experiment, num_seeds: int, num_workers: int
) -> pages.ExperimentSection:
    """Rows, verdicts and pictures of one experiment, as a section of the page."""
    if experiment.name == KERAS_PATCHES:  # TensorFlow spreads over the cores by itself
        num_seeds, num_workers = min(num_seeds, _MAX_KERAS_SEEDS), 1
    rows = trial_rows.compute_or_read(experiment, num_seeds, workdir / "results", num_workers)
    verdicts = verdicts_on(experiment.name, rows)
    pictures = [(_draw(workdir, picture, rows), picture.words) for picture in experiment.pictures]
    source = f"results/{experiment.name}.csv"
    title = experiment.name.replace("_", " ").capitalize()
    return pages.ExperimentSection(title, experiment.question, pictures, verdicts, source)


def _draw(workdir: pathlib.Path, picture: Picture, rows: list[Row]) -> pathlib.Path:
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


def _answer(sections: Sequence[pages.ExperimentSection]) -> str:
    """One sentence, counted from the verdicts."""
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    predictions = [verdict for verdict in verdicts if not verdict.is_asked]
    failed = [verdict.statement for verdict in predictions if not verdict.holds]
    held = len(predictions) - len(failed)
    text = f"{held} of {len(predictions)} predictions of the theory hold in every run."
    return text + (f" Not: {'; '.join(failed)}." if failed else "")
