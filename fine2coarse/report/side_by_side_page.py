"""The page of several studies side by side: what differs between them, and what came of it."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from fine2coarse import formats
from fine2coarse.analysis.comparison import Comparison
from fine2coarse.analysis.side_by_side import Change, SideBySide
from fine2coarse.analysis.side_by_side_words import headline, ranking
from fine2coarse.analysis.uses import Use
from fine2coarse.recipes.names import BASELINE, DIRECT
from fine2coarse.report import cost_section, learning, page, side_by_side_figures
from fine2coarse.report.cost_section import ArmCost
from fine2coarse.report.report_contents import TABLES, draw_in
from fine2coarse.report.tables import Table, cell, interval_columns
from fine2coarse.runs.field_differences import short

_INTRODUCTION = (
    "Each study trains a baseline of its own beside its arms. The best was picked by its test "
    "error, so expect it to do a little worse on new images."
)
_ERRORS = (
    "Test error %, mean ± standard deviation over seeds. The baseline of each study is its own. "
    "Direct: the pretrained model as it is; else after the transfer that was chosen."
)
_DIFFERENCES = (
    "Error minus that of {first}, in percentage points. In brackets: 95 % intervals, over other "
    "seeds and other test images. p: of no difference, corrected for all rows (Holm); the verdict "
    "on the error goes by it. Not paired: no seed in common, which makes intervals wide."
)
_COST = (
    "A run's training, every transfer that was tried included. Mean ± standard deviation over "
    "seeds; without evaluation, start-up and reading checkpoints."
)
_MOST_OPEN = 4  # arms whose curves are shown without a click
_LETTERS = 40


def render_side_by_side(found: SideBySide, out: pathlib.Path) -> str:
    """The whole page; writes pictures and tables beside it on the way."""
    sections = {
        "What differs": _fields,
        "Errors": _errors,
        "Learning curves": _curves,
        "Cost": _cost,
        "How this was made": _made,
    }
    made = [page.Section(heading, make(found, out)) for heading, make in sections.items()]
    return page.render(
        "side_by_side.html",
        title=f"{len(found.names)} studies side by side",
        partial=found.partial,
        answer=headline(found),
        warnings=found.notes,
        introduction=_INTRODUCTION,
        facts=_facts(found),
        note="",
        sections=[section for section in made if section.parts],
    )


def _facts(found: SideBySide) -> dict[str, str]:
    facts = {}
    for name, study in zip(found.names, found.studies, strict=True):
        seeds = sorted({run.seed for run in study.runs})
        told = [
            formats.counted(len(study.recipe["arms"]), "arm"),
            f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}",
            formats.counted(study.runs[0].row.num_images, "test image"),
        ]
        facts[name] = ", ".join(told)
    return facts


def _fields(found: SideBySide, out: pathlib.Path) -> list[Markup]:
    if not found.fields:
        return [page.paragraph("The recipes are the same, field by field.")]
    table = Table(
        name="recipes",
        caption="The fields of the recipes that differ; – where a study does not have one. The "
        "others are the same.",
        columns=["field", *found.names],
        cells=[[name, *map(_shown, values)] for name, values in found.fields.items()],
        records=[
            {"field": name} | dict(zip(found.names, map(_shown, values), strict=True))
            for name, values in found.fields.items()
        ],
        text_columns=tuple(range(1, len(found.names) + 1)),
    )
    table.write(out / TABLES)
    shown = [[_breakable(name), *cells] for name, *cells in table.cells]
    return [dataclasses.replace(table, cells=shown).html("Fields that differ")]


def _breakable(name: str) -> Markup:
    """A field's name that may go on in another line after a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[.])", name))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value if len(value) <= _LETTERS else value[: _LETTERS - 1] + "…"
    if isinstance(value, list | tuple):
        return short(", ".join(map(str, value)), _LETTERS).strip("'") or "none"
    return short(value, _LETTERS)


def _errors(found: SideBySide, out: pathlib.Path) -> list[Markup]:
    tables = [errors_table(found), _differences_table(found)]
    for table in tables:
        if table.records:
            table.write(out / TABLES)
    parts = [
        page.bullets(ranking(found)),
        draw_in(
            out,
            "errors",
            lambda path, width: side_by_side_figures.draw_errors(path, found, width),
            alt="Error on the target against the number of classes in pretraining, a line a study. "
            "The table below holds the numbers.",
            caption="Error after the transfer that was chosen, mean over seeds with its 95 % "
            "interval. Dashed: the study's baseline, in its colour.",
        ),
        tables[0].html("Errors of every arm in every study"),
    ]
    if tables[1].records:
        parts += [page.heading(f"Differences to {found.names[0]}", 3), tables[1].html()]
    return parts


def errors_table(found: SideBySide) -> Table:
    """A row an arm and use, a column a study."""
    rows = [[found.found(use, number) for number in range(len(found.names))] for use in found.uses]
    return Table(
        name="errors",
        caption=_ERRORS,
        columns=["arm", "classes", *found.names],
        cells=[
            [_title(use), _classes(row), *map(_mean, row)]
            for use, row in zip(found.uses, rows, strict=True)
        ],
        records=[
            {"arm": use[0], "use": use[1]} | _numbers(found.names, row)
            for use, row in zip(found.uses, rows, strict=True)
        ],
        row_classes=["baseline" if arm == BASELINE else "" for arm, _ in found.uses],
    )


def _title(use: Use) -> str:
    return f"{use[0]}, direct" if use[1] == DIRECT else use[0]


def _classes(row: Sequence[Comparison | None]) -> str:
    numbers = dict.fromkeys(one.num_classes for one in row if one)
    return ", ".join(f"{number:,}" for number in numbers)


def _mean(one: Comparison | None) -> str:
    return "–" if one is None else formats.mean_deviation(one.error.estimate, one.deviation)


def _numbers(names: Sequence[str], row: Sequence[Comparison | None]) -> dict[str, object]:
    numbers: dict[str, object] = {}
    for name, one in zip(names, row, strict=True):
        numbers |= {
            f"{name}: error": "" if one is None else one.error.estimate,
            f"{name}: error_deviation": cell(one and one.deviation),
            f"{name}: num_seeds": "" if one is None else one.num_seeds,
        }
    return numbers


def _differences_table(found: SideBySide) -> Table:
    """A row an arm, use and other study."""
    changes = [
        (use, number, change)
        for use in found.uses
        for number, change in sorted(found.changes.get(use, {}).items())
    ]
    return Table(
        name="differences",
        caption=_DIFFERENCES.format(first=found.names[0]),
        columns=["arm", "study", "difference", "p", "verdict", "seeds"],
        cells=[
            [_title(use), found.names[number], *_change_cells(change)]
            for use, number, change in changes
        ],
        records=[
            {"arm": use[0], "use": use[1], "study": found.names[number]}
            | interval_columns("difference", change.difference)
            | {
                "adjusted_p_value": cell(change.adjusted_p_value),
                "verdict": change.verdict,
                "is_paired": change.is_paired,
                "num_seeds": change.num_seeds,
            }
            for use, number, change in changes
        ],
        row_classes=["baseline" if use[0] == BASELINE else "" for use, _, _ in changes],
        text_columns=(1, 4),
    )


def _change_cells(change: Change) -> list[str]:
    return [
        formats.interval(change.difference, signed=True),
        "" if math.isnan(change.adjusted_p_value) else formats.p_value(change.adjusted_p_value),
        change.verdict,
        f"{change.num_seeds}" if change.is_paired else "not paired",
    ]


def _curves(found: SideBySide, out: pathlib.Path) -> list[Markup]:
    by_arm: dict[str, dict[int, list[learning.Curve]]] = {}
    for number, study in enumerate(found.studies):
        for curve in learning.read_curves(study.runs):
            by_arm.setdefault(curve.arm, {}).setdefault(number, []).append(curve)
    order = list(dict.fromkeys(arm for arm, _ in found.uses if arm in by_arm))
    parts = [_curves_of(found, out, place, arm, by_arm[arm]) for place, arm in enumerate(order)]
    if not parts:
        return []
    note = (
        "Mean over seeds. A line breaks where pretraining ends and transfer begins. Losses of "
        "different label spaces are not comparable; those of one arm are, unless the loss differs."
    )
    flat = [part for of_arm in parts[:_MOST_OPEN] for part in of_arm]
    more = [part for of_arm in parts[_MOST_OPEN:] for part in of_arm]
    folded = [page.folded("The other arms", *more)] if more else []
    return [page.paragraph(note, "note"), *flat, *folded]


def _curves_of(
    found: SideBySide,
    out: pathlib.Path,
    place: int,
    arm: str,
    curves: Mapping[int, Sequence[learning.Curve]],
) -> list[Markup]:
    picture = draw_in(
        out,
        f"curves-{place}",
        lambda path, width: side_by_side_figures.draw_curves(path, curves, found.names, width),
        alt=f"Training loss of {arm} against steps, and where it was measured the accuracy on "
        "held-out training images; a line a study.",
        caption="",
    )
    return [page.heading(arm, 3), picture]


def _cost(found: SideBySide, out: pathlib.Path) -> list[Markup]:
    costs = [cost_section.read_costs(study.runs) for study in found.studies]
    order = list(dict.fromkeys(arm for arm, _ in found.uses))
    rows = [
        (name, cost)
        for arm in order
        for name, of_study in zip(found.names, costs, strict=True)
        for cost in of_study
        if cost.arm == arm
    ]
    table = Table(
        name="cost",
        caption=_COST,
        columns=["arm", "study", "training time", "images seen", "training FLOPs"],
        cells=[[cost.arm, name, *_cost_cells(cost)] for name, cost in rows],
        records=[
            {
                "arm": cost.arm,
                "study": name,
                "seconds": cost.seconds,
                "seconds_deviation": cost.deviation,
                "images": cost.images,
                "flops": cell(cost.flops),
            }
            for name, cost in rows
        ],
        row_classes=["baseline" if cost.arm == BASELINE else "" for _, cost in rows],
        text_columns=(1,),
    )
    table.write(out / TABLES)
    return [table.html("Cost of every arm in every study")]


def _cost_cells(cost: ArmCost) -> list[str]:
    time = formats.duration(cost.seconds, cost.deviation)
    return [time, f"{cost.images:,}", formats.count(cost.flops)]


def _made(found: SideBySide, out: pathlib.Path) -> list[Markup]:
    folders = [str(study.workdir) for study in found.studies]
    command = shlex.join(["fine2coarse", "report", "--compare", *folders])
    return [
        page.preformatted(command),
        page.paragraph("Each study has a report of its own in its folder.", "note"),
    ]
