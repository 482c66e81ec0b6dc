"""The page: which sections there are, and in which order."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

from fine2coarse.experiment import statistics
from fine2coarse.experiment.outcomes import Outcome, load_outcomes
from fine2coarse.experiment.report import (
    cost,
    counts_only,
    learning,
    made_how,
    main_result,
    pictures,
)
from fine2coarse.experiment.report.studies import Merged
from fine2coarse.experiment.report.thumbnails import ReadImages
from fine2coarse.experiment.run_folder import BASELINE
from fine2coarse.reporting import page

PICTURES, TABLES = "pictures", "tables"
_GENERATED = (
    "These images are generated, not photographs: they show that the system finds what is there "
    "to be found, not how large the effect is on real images."
)


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """What the sections are made of.

    Attributes:
      merged: the studies.
      outcomes: every run's answers; empty where some run did not keep them.
      comparisons: of the arms with the baseline, over all images.
      answer: in one sentence.
      out: folder of the report.
      read_images: reads thumbnails that no study has yet; None where that cannot be.
    """

    merged: Merged
    outcomes: Sequence[Outcome]
    comparisons: Sequence[statistics.Comparison]
    answer: str
    out: pathlib.Path
    read_images: ReadImages | None


def gather(merged: Merged, out: pathlib.Path, read_images: ReadImages | None) -> Material:
    """Reads the answers and compares the arms."""
    if not all(run.has_predictions for run in merged.runs):
        comparisons = counts_only.compare([run.row for run in merged.runs])
        merged = dataclasses.replace(merged, notes=[*merged.notes, counts_only.NOTE])
        return Material(merged, [], comparisons, counts_only.headline(comparisons), out, None)
    outcomes = _outcomes(merged)
    comparisons = statistics.compare(outcomes)
    answer = statistics.headline(comparisons)
    return Material(merged, outcomes, comparisons, answer, out, read_images)


def _outcomes(merged: Merged) -> list[Outcome]:
    """Of the merged runs, under their names on the page."""
    of_folder = {
        outcome.folder.resolve(): outcome
        for study in merged.studies
        for outcome in load_outcomes(study.workdir)
    }
    return [dataclasses.replace(of_folder[run.final.resolve()], arm=run.arm) for run in merged.runs]


def render(material: Material) -> str:
    """The whole page; writes pictures and tables beside it on the way."""
    target = material.merged.runs[0].final_recipe["label_space"]["name"]
    sections, contents = [], []
    for heading, make in _SECTIONS.items():
        parts = make(material)
        if parts:
            contents.append(heading)
            sections += [page.heading(heading), *parts]
    return page.render(
        f"Which labels to pretrain on, to tell the {target}?",
        [*_opening(material), *sections],
        contents=contents,
        footer="Made by fine2coarse from what lies in the study's folder; the tables beside this "
        "page hold the numbers as CSV and LaTeX.",
    )


def _opening(material: Material) -> list[str]:
    merged = material.merged
    recipe, row = merged.recipe, merged.runs[0].row
    seeds = sorted({run.seed for run in merged.runs})
    is_generated = recipe["dataset"]["name"] == "demo"
    return [
        page.paragraph(material.answer, "answer"),
        page.paragraph(" ".join(merged.notes), "warning") if merged.notes else "",
        page.paragraph(
            f"Each arm pretrains a backbone ({recipe['backbone']['name']}) on its labels, then "
            f"transfers it to the task ({recipe['transfer_mode'].replace('_', ' ')}); the baseline "
            "trains on the task's labels all along. Arms share their seeds."
        ),
        page.facts(
            {
                "Images": merged.runs[0].final_recipe.get("dataset_name", "")
                or recipe["dataset"]["name"],
                "Task": f"{row.num_images:,} test images, {_num_targets(merged):,} classes",
                "Arms": f"{len(merged.arms)} and the baseline, seeds {_listed(seeds)}",
            }
        ),
        page.paragraph(_GENERATED, "note") if is_generated else "",
    ]


def _num_targets(merged: Merged) -> int:
    return merged.runs[0].final_recipe["label_space"]["num_classes"]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _result(material: Material) -> list[str]:
    points, band = main_result.curve(material.comparisons, material.merged.arms)
    table = main_result.table(material.comparisons)
    table.write(material.out)
    sentences = [c.sentence for c in material.comparisons if c.arm != BASELINE]
    parts = [table.html("Results of every arm"), page.folded("In words", page.bullets(sentences))]
    if points:
        pictures.draw_granularity(material.out / "granularity.png", points, band)
        parts.insert(
            0,
            _figure(
                material,
                "granularity",
                lambda path, width: pictures.draw_granularity(path, points, band, width),
                alt="Error on the target against the number of classes in pretraining, a point an "
                "arm, with the baseline as a dashed line. The table below holds the numbers.",
                caption="Mean over seeds with its 95 % interval. Dashed line and band: the "
                "baseline, trained on the target's labels alone.",
            ),
        )
    return parts


def _cost(material: Material) -> list[str]:
    order = [c.arm for c in material.comparisons]
    costs = cost.read_costs(sorted(material.merged.runs, key=lambda run: order.index(run.arm)))
    table = cost.table(costs)
    table.write(material.out / TABLES)
    panels = cost.panels(costs, material.comparisons, material.merged.arms)
    return [
        _figure(
            material,
            "cost",
            lambda path, width: pictures.draw_cost(path, panels, width),
            alt="Error on the target against what a run's training cost, a point an arm. The "
            "table below holds the costs.",
            caption="Mean error with its 95 % interval against mean cost; left and low is best.",
        ),
        table.html("Cost of every arm"),
    ]


def _learning(material: Material) -> list[str]:
    curves = learning.read_curves(material.merged.runs)
    if not curves:
        return []
    return [
        _figure(
            material,
            "learning",
            lambda path, width: learning.draw_learning(path, curves, width),
            alt="Training loss of every arm against the images seen, and where it was measured the "
            "accuracy on held-out training images.",
            caption="Mean over seeds. An arm's line breaks where pretraining ends and transfer "
            "begins. Losses on different labels are not comparable: more classes start higher.",
        )
    ]


def _figure(
    material: Material,
    name: str,
    draw: Callable[[pathlib.Path, float], None],
    *,
    alt: str,
    caption: str,
) -> str:
    """Draws a picture at both widths, and shows it."""
    folder = material.out / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    draw(wide, pictures.WIDE)
    draw(narrow, pictures.NARROW)
    return page.figure(wide, alt=alt, caption=caption, narrow=narrow)


def _made_how(material: Material) -> list[str]:
    return made_how.section(material.merged)


_SECTIONS: dict[str, Callable[[Material], list[str]]] = {
    "Result": _result,
    "Cost": _cost,
    "Learning curves": _learning,
    "How this was made": _made_how,
}
