"""The page: which sections there are, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fine2coarse.experiment.hardness import MARGIN, MISSED, SPLITS, ArmHardness
from fine2coarse.experiment.report import (
    cost,
    easy_hard,
    gallery,
    learning,
    made_how,
    main_result,
    pictures,
    superclasses,
)
from fine2coarse.experiment.report.material import TABLES, Material, figure
from fine2coarse.experiment.report.merging import Merged
from fine2coarse.experiment.run_folder import BASELINE
from fine2coarse.reporting import page

_GENERATED = (
    "These images are generated, not photographs: they show that the system finds what is there "
    "to be found, not how large the effect is on real images."
)


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
        f"Which labels to pretrain on, when the task is {target}?",
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
            figure(
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


def _easy_hard(material: Material) -> list[str]:
    flagged = easy_hard.flagged_table([run.row for run in material.merged.runs])
    last = []
    if flagged is not None:
        flagged.write(material.out / TABLES)
        last = [flagged.html("Errors on flagged images")]
    if material.found is None:
        return [page.paragraph(material.why_not, "note") if material.why_not else "", *last]
    by_margin = [arm for arm in material.found.arms if arm.split_by == MARGIN]
    by_misses = [arm for arm in material.found.arms if arm.split_by == MISSED]
    parts = [page.paragraph(easy_hard.METHOD)]
    if by_margin:
        gains, controls = _hardness_tables(material, by_margin)
        parts += [_gains_figure(material, by_margin), gains, page.heading("Controls", 3)]
        parts += [page.bullets(easy_hard.CONTROLS), controls]
    if by_misses:
        shown = "".join(_hardness_tables(material, by_misses))
        parts.append(page.folded(f"The same, {SPLITS[MISSED]} being hard", shown))
    sentences = [arm.sentence for arm in material.found.arms]
    return [*parts, page.folded("In words", page.bullets(sentences)), *last]


def _hardness_tables(material: Material, arms: Sequence[ArmHardness]) -> list[str]:
    tables = [easy_hard.gains_table(arms), easy_hard.controls_table(arms)]
    for table in tables:
        table.write(material.out / TABLES)
    return [tables[0].html("Gains"), tables[1].html("Controls")]


def _gains_figure(material: Material, arms: Sequence[ArmHardness]) -> str:
    return figure(
        material,
        "gains",
        lambda path, width: easy_hard.draw_gains(path, arms, width),
        alt="Errors that each arm avoids on easy and on hard images, in percentage points. The "
        "table below holds the numbers.",
        caption="Errors avoided against the baseline, with 95 % intervals; hard: the half of the "
        "images with the smaller mean margin.",
    )


def _superclasses(material: Material) -> list[str]:
    arm = main_result.best_arm(material.comparisons)
    if material.found is None or arm is None:
        return []
    superclasses.table(material.found.superclasses, "").write(material.out / TABLES)
    return superclasses.section(arm, material.found.superclasses)


def _gallery(material: Material) -> list[str]:
    arm = main_result.best_arm(material.comparisons)
    if material.found is None or arm not in {found.arm for found in material.found.arms}:
        return []
    places = [*(study.workdir for study in material.merged.studies), material.out]
    reason = gallery.store_thumbnails(material.outcomes, places, material.read_images)
    return gallery.section(arm, material.outcomes, places, reason)


def _cost(material: Material) -> list[str]:
    order = [c.arm for c in material.comparisons]
    costs = cost.read_costs(sorted(material.merged.runs, key=lambda run: order.index(run.arm)))
    table = cost.table(costs)
    table.write(material.out / TABLES)
    panels = cost.panels(costs, material.comparisons, material.merged.arms)
    return [
        figure(
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
        figure(
            material,
            "learning",
            lambda path, width: learning.draw_learning(path, curves, width),
            alt="Training loss of every arm against the images seen, and where it was measured the "
            "accuracy on held-out training images.",
            caption="Mean over seeds. An arm's line breaks where pretraining ends and transfer "
            "begins. Losses on different labels are not comparable: more classes start higher.",
        )
    ]


def _made_how(material: Material) -> list[str]:
    return made_how.section(material.merged)


_SECTIONS: dict[str, Callable[[Material], list[str]]] = {
    "Result": _result,
    "Easy and hard images": _easy_hard,
    "Within each class": _superclasses,
    "Gallery of hard images": _gallery,
    "Cost": _cost,
    "Learning curves": _learning,
    "How this was made": _made_how,
}
