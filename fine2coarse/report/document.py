"""The page: which sections there are, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from fine2coarse.analysis import results, sentences
from fine2coarse.analysis.hard_images import MARGIN, MISSED, SPLITS
from fine2coarse.analysis.hardness import ArmHardness
from fine2coarse.analysis.merging import Merged
from fine2coarse.analysis.uses import TRANSFERRED
from fine2coarse.recipes.names import BASELINE, DIRECT
from fine2coarse.report import (
    cost_section,
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
from fine2coarse.report.report_contents import TABLES, ReportContents, draw_figure

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
    "These images are generated, not photographs: they show that the method finds an effect that "
    "is there, not how large it is on real images."
)


def render_report(contents: ReportContents) -> str:
    """The whole page; writes pictures and tables beside it on the way."""
    merged = contents.merged
    target = merged.runs[0].tested_recipe["label_space"]["name"]
    sections = [page.Section(heading, make(contents)) for heading, make in _SECTIONS.items()]
    losses = sentences.transfer_losses(contents.comparisons, merged.recipe)
    return page.render(
        "report.html",
        title=f"Which labels to pretrain on, when the task is {target}?",
        partial=merged.partial,
        answer=sentences.headline(contents.comparisons),
        warnings=[" ".join(merged.notes), " ".join(losses)],
        introduction=_introduction(contents),
        facts=_facts(merged),
        note=_GENERATED if merged.recipe["dataset"]["name"] == "demo" else "",
        sections=[section for section in sections if section.parts],
    )


def _introduction(contents: ReportContents) -> str:
    merged = contents.merged
    return (
        f"Each arm pretrains a model ({merged.recipe['backbone']['name']}) on its labels, then "
        f"{_transfer_in_words(merged)}; the baseline trains on the task's labels only. "
        f"Arms share their seeds.{_direct_in_words(contents)}"
    )


def _facts(merged: Merged) -> dict[str, str]:
    run = merged.runs[0]
    num_targets = run.tested_recipe["label_space"]["num_classes"]
    seeds = ", ".join(map(str, sorted({run.seed for run in merged.runs})))
    return {
        "Images": run.tested_recipe.get("dataset_name", "") or merged.recipe["dataset"]["name"],
        "Task": f"{run.row.num_images:,} test images, {num_targets:,} classes",
        "Arms": f"{len(merged.arms)} and the baseline, seeds {seeds}",
    }


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


def _direct_in_words(contents: ReportContents) -> str:
    if all(c.direct is None for c in contents.comparisons):
        return ""
    return (
        " Next to it is the direct use: the pretrained model as it is, the probabilities of its "
        "classes summed into the task's."
    )


def _result(contents: ReportContents) -> list[Markup]:
    points, band = main_result.curve(contents.comparisons, contents.merged.arms)
    rows = [run.row for run in contents.runs]
    table = main_result.table(contents.comparisons, results.chosen_transfers(rows))
    table.write(contents.out)
    arms = [c for c in contents.comparisons if c.arm != BASELINE]
    told = sentences.sentences(arms)
    parts = [table.html("Results of every arm"), page.folded("As sentences", page.bullets(told))]
    if points:
        pictures.draw_granularity(contents.out / "granularity.png", points, band)
        parts.insert(
            0,
            draw_figure(
                contents,
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


def _easy_hard(contents: ReportContents) -> list[Markup]:
    flagged = easy_hard.flagged_table([run.row for run in contents.runs])
    last = []
    if flagged is not None:
        flagged.write(contents.out / TABLES)
        last = [flagged.html("Errors on flagged images")]
    if not contents.hardness:
        why = contents.why_no_hardness
        return [*([page.paragraph(why, "note")] if why else []), *last]
    by_margin, by_misses = (_split_by(contents, split_by) for split_by in (MARGIN, MISSED))
    parts = [page.paragraph(easy_hard.METHOD)]
    if DIRECT in contents.hardness:
        parts.append(page.paragraph(easy_hard.TWO_USES))
    if by_margin:
        gains, controls = _hardness_tables(contents, by_margin)
        parts += [_gains_figure(contents, by_margin), gains, page.heading("Controls", 3)]
        parts += [page.bullets(easy_hard.CONTROLS), controls]
    if by_misses:
        shown = _hardness_tables(contents, by_misses)
        parts.append(page.folded(f"The same, {SPLITS[MISSED]} being hard", *shown))
    told = [
        f"{easy_hard.title(arm, arms)}: {arm.words}"
        for arms in (by_margin, by_misses)
        for arm in arms
    ]
    return [*parts, page.folded("As sentences", page.bullets(told)), *last]


def _split_by(contents: ReportContents, split_by: str) -> list[ArmHardness]:
    """Arm by arm, the direct use before the transferred one; once where both are the same."""
    always_direct = {c.arm for c in contents.comparisons if c.is_always_direct}
    order = [c.arm for c in contents.comparisons]
    found = [
        arm
        for use in (DIRECT, TRANSFERRED)
        if use in contents.hardness
        for arm in contents.hardness[use].arms
        if arm.split_by == split_by and (use == DIRECT or arm.arm not in always_direct)
    ]
    return sorted(found, key=lambda arm: order.index(arm.arm))


def _hardness_tables(contents: ReportContents, arms: Sequence[ArmHardness]) -> list[Markup]:
    tables = [easy_hard.gains_table(arms), easy_hard.controls_table(arms)]
    for table in tables:
        table.write(contents.out / TABLES)
    return [tables[0].html("Gains"), tables[1].html("Controls")]


def _gains_figure(contents: ReportContents, arms: Sequence[ArmHardness]) -> Markup:
    return draw_figure(
        contents,
        "gains",
        lambda path, width: easy_hard.draw_gains(path, arms, width),
        alt="Errors that each arm avoids on easy and on hard images, in percentage points. The "
        "table below holds the numbers.",
        caption="Errors avoided against the baseline, with 95 % intervals; hard: the half of the "
        "images with the smaller mean margin.",
    )


def _superclasses(contents: ReportContents) -> list[Markup]:
    best = main_result.best_arm(contents.comparisons)
    if not contents.hardness or best is None:
        return []
    gains = [gain for found in contents.hardness.values() for gain in found.superclasses]
    superclasses.table(gains, "").write(contents.out / TABLES)
    return superclasses.section(best, gains)


def _gallery(contents: ReportContents) -> list[Markup]:
    best = main_result.best_arm(contents.comparisons)
    if best is None or best.use not in contents.hardness:
        return []
    if best.arm not in {arm.arm for arm in contents.hardness[best.use].arms}:
        return []
    places = [*(study.workdir for study in contents.merged.studies), contents.out]
    reason = gallery.store_wins(contents.runs, places, contents.read_images)
    return gallery.section(best, contents.runs, places, reason)


def _transfers(contents: ReportContents) -> list[Markup]:
    runs = contents.runs_by_classes
    candidates = trials_section.read_candidates(runs)
    num_arms = len(contents.comparisons)
    if all(c.direct is None for c in contents.comparisons) and len(candidates) == num_arms:
        return []
    several = any(run.candidates for run in runs)
    tables = [
        trials_section.side_by_side(candidates, [run.row for run in runs]),
        trials_section.candidates_table(candidates),
    ]
    for table in tables:
        table.write(contents.out / TABLES)
    return [
        page.paragraph(trials_section.METHOD if several else trials_section.ONE),
        tables[0].html("Direct use and transfers side by side"),
        page.heading("Every candidate", 3),
        tables[1].html("Every candidate"),
    ]


def _cost(contents: ReportContents) -> list[Markup]:
    costs = cost_section.read_costs(contents.runs_by_classes)
    table = cost_section.table(costs)
    table.write(contents.out / TABLES)
    panels = cost_section.panels(costs, contents.comparisons, contents.merged.arms)
    return [
        draw_figure(
            contents,
            "cost",
            lambda path, width: pictures.draw_cost(path, panels, width),
            alt="Error on the target against what a run's training cost, a point an arm. The "
            "table below holds the costs.",
            caption="Mean error after transfer with its 95 % interval against mean cost, trials "
            "included; lower left is best.",
        ),
        table.html("Cost of every arm"),
    ]


def _learning(contents: ReportContents) -> list[Markup]:
    curves = learning.read_curves(contents.runs)
    if not curves:
        return []
    return [
        draw_figure(
            contents,
            "learning",
            lambda path, width: learning.draw_learning(path, curves, width),
            alt="Training loss of every arm against the images seen, and where it was measured the "
            "accuracy on held-out training images.",
            caption="Mean over seeds. An arm's line breaks where pretraining ends and transfer "
            "begins. Losses on different labels are not comparable: more classes start higher.",
        )
    ]


def _provenance(contents: ReportContents) -> list[Markup]:
    return provenance_section.section(contents.merged)


_SECTIONS: dict[str, Callable[[ReportContents], list[Markup]]] = {
    "Result": _result,
    "Transfers that were tried": _transfers,
    "Easy and hard images": _easy_hard,
    "Within each class": _superclasses,
    "Gallery of hard images": _gallery,
    "Cost": _cost,
    "Learning curves": _learning,
    "How this was made": _provenance,
}
