"""The page: which sections there are, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fine2coarse.analysis import results, sentences
from fine2coarse.analysis.hardness import MARGIN, MISSED, SPLITS, ArmHardness
from fine2coarse.analysis.merging import Merged
from fine2coarse.analysis.outcomes import DIRECT, TRANSFERRED
from fine2coarse.recipes.names import BASELINE
from fine2coarse.report import (
    cost,
    easy_hard,
    gallery,
    learning,
    main_result,
    page,
    pictures,
    provenance_section,
    superclasses,
    trials_section,
)
from fine2coarse.report.contents import TABLES, Material, figure

_HOLLOW = (
    " Filled: after transfer. Hollow, a little to the left: the pretrained model used directly, "
    "where that is not the same."
)
_TRANSFERS = {
    "new": "a new head, all weights fine-tuned",
    "summed": "the pretrained head with summed probabilities, all weights fine-tuned",
    "linear_probe": "a new head alone is trained",
    "direct": "used as it is",
}
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
        page.paragraph(" ".join(material.losses), "warning") if material.losses else "",
        page.paragraph(
            f"Each arm pretrains a model ({recipe['backbone']['name']}) on its labels, then "
            f"{_transfer_in_words(merged)}; the baseline trains on the task's labels all along. "
            f"Arms share their seeds.{_direct_in_words(material)}"
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


def _transfer_in_words(merged: Merged) -> str:
    """How an arm comes to the task."""
    if sentences.tries_candidates(merged.recipe):
        return (
            "tries several ways to use it for the task, as it is and after different transfers, "
            "and takes the one of least error on held-out training images"
        )
    names = dict.fromkeys(run.row.transfer for run in merged.runs if run.arm != BASELINE)
    told = " or ".join(_TRANSFERS.get(name, name.replace("_", " ")) for name in names)
    return f"transfers it to the task ({told})" if told else "transfers it to the task"


def _direct_in_words(material: Material) -> str:
    if all(c.direct is None for c in material.comparisons):
        return ""
    return (
        " Beside it stands the direct use: the pretrained model as it is, the probabilities of its "
        "classes summed into the task's."
    )


def _num_targets(merged: Merged) -> int:
    return merged.runs[0].final_recipe["label_space"]["num_classes"]


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _result(material: Material) -> list[str]:
    points, band = main_result.curve(material.comparisons, material.merged.arms)
    rows = [run.row for run in material.merged.runs]
    table = main_result.table(material.comparisons, results.chosen_transfers(rows))
    table.write(material.out)
    arms = [c for c in material.comparisons if c.arm != BASELINE]
    told = sentences.sentences(arms)
    parts = [table.html("Results of every arm"), page.folded("In words", page.bullets(told))]
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
                "baseline, trained on the target's labels alone."
                + (_HOLLOW if any(point.is_light for point in points) else ""),
            ),
        )
    return parts


def _easy_hard(material: Material) -> list[str]:
    flagged = easy_hard.flagged_table([run.row for run in material.merged.runs])
    last = []
    if flagged is not None:
        flagged.write(material.out / TABLES)
        last = [flagged.html("Errors on flagged images")]
    if not material.found:
        return [page.paragraph(material.why_not, "note") if material.why_not else "", *last]
    by_margin, by_misses = (_split_by(material, split_by) for split_by in (MARGIN, MISSED))
    parts = [page.paragraph(easy_hard.METHOD)]
    if DIRECT in material.found:
        parts.append(page.paragraph(easy_hard.TWO_USES))
    if by_margin:
        gains, controls = _hardness_tables(material, by_margin)
        parts += [_gains_figure(material, by_margin), gains, page.heading("Controls", 3)]
        parts += [page.bullets(easy_hard.CONTROLS), controls]
    if by_misses:
        shown = "".join(_hardness_tables(material, by_misses))
        parts.append(page.folded(f"The same, {SPLITS[MISSED]} being hard", shown))
    told = [
        f"{easy_hard.title(arm, arms)}: {arm.words}"
        for arms in (by_margin, by_misses)
        for arm in arms
    ]
    return [*parts, page.folded("In words", page.bullets(told)), *last]


def _split_by(material: Material, split_by: str) -> list[ArmHardness]:
    """Arm by arm, the direct use before the transferred one; once where both are the same."""
    always_direct = {c.arm for c in material.comparisons if c.is_always_direct}
    order = [c.arm for c in material.comparisons]
    found = [
        arm
        for use in (DIRECT, TRANSFERRED)
        if use in material.found
        for arm in material.found[use].arms
        if arm.split_by == split_by and (use == DIRECT or arm.arm not in always_direct)
    ]
    return sorted(found, key=lambda arm: order.index(arm.arm))


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
    best = main_result.best_arm(material.comparisons)
    if not material.found or best is None:
        return []
    gains = [gain for found in material.found.values() for gain in found.superclasses]
    superclasses.table(gains, "").write(material.out / TABLES)
    return superclasses.section(best, gains)


def _gallery(material: Material) -> list[str]:
    best = main_result.best_arm(material.comparisons)
    if best is None or best.use not in material.found:
        return []
    if best.arm not in {arm.arm for arm in material.found[best.use].arms}:
        return []
    places = [*(study.workdir for study in material.merged.studies), material.out]
    reason = gallery.store_thumbnails(material.outcomes, places, material.read_images)
    return gallery.section(best, material.outcomes, places, reason)


def _transfers(material: Material) -> list[str]:
    order = [c.arm for c in material.comparisons]
    runs = sorted(material.merged.runs, key=lambda run: order.index(run.arm))
    candidates = trials_section.read_candidates(runs)
    if all(c.direct is None for c in material.comparisons) and len(candidates) == len(order):
        return []
    several = any(run.results.candidates for run in runs)
    tables = [
        trials_section.side_by_side(candidates, [run.row for run in runs]),
        trials_section.candidates_table(candidates),
    ]
    for table in tables:
        table.write(material.out / TABLES)
    return [
        page.paragraph(trials_section.METHOD if several else trials_section.ONE),
        tables[0].html("Direct use and transfers side by side"),
        page.heading("Every candidate", 3),
        tables[1].html("Every candidate"),
    ]


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
            caption="Mean error after transfer with its 95 % interval against mean cost, trials "
            "included; left and low is best.",
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
    return provenance_section.section(material.merged)


_SECTIONS: dict[str, Callable[[Material], list[str]]] = {
    "Result": _result,
    "Transfers that were tried": _transfers,
    "Easy and hard images": _easy_hard,
    "Within each class": _superclasses,
    "Gallery of hard images": _gallery,
    "Cost": _cost,
    "Learning curves": _learning,
    "How this was made": _made_how,
}
