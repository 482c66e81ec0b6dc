"""How the numbers were made: runs, recipe, fingerprints, versions, command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from fine2coarse import formats
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.merging import Merged
from fine2coarse.report import data_section, page, provenance

_SHORT = 16  # digits of a fingerprint that tell it from any other at a glance


def section(merged: Merged) -> list[Markup]:
    """HTML of the whole section."""
    return [
        page.heading("Command", 3),
        *_commands(merged),
        page.heading("Data", 3),
        page.facts(_data(merged)),
        *data_section.images(merged),
        page.heading("Versions", 3),
        *_versions(merged),
        page.folded("Label spaces", _label_spaces(merged.runs)),
        page.folded("Every run", _every_run(merged.runs)),
        *_recipes(merged),
    ]


def _commands(merged: Merged) -> list[Markup]:
    parts = []
    for study in merged.studies:
        lines = provenance.commands(study.workdir)
        if lines:
            parts.append(page.preformatted("\n".join(lines)))
        else:
            parts.append(
                page.paragraph(
                    f"The folder of study {study.name} does not record the command that made "
                    "it; its recipe is below.",
                    "note",
                )
            )
    if len(merged.studies) > 1:
        names = ",".join(f"runs/{study.name}" for study in merged.studies)
        parts.append(page.preformatted(f"fine2coarse report --workdir={names} --out=runs/merged"))
    return parts


def _data(merged: Merged) -> Mapping[str, str]:
    first = merged.runs[0].tested_recipe
    target = first["label_space"]
    return {
        "dataset": first.get("dataset_name") or merged.recipe["dataset"]["name"],
        "its fingerprint": first["dataset_fingerprint"],
        "target": f"{target['name']}, {target['num_classes']:,} classes",
        "target's fingerprint": target["fingerprint"],
    }


def _versions(merged: Merged) -> list[Markup]:
    here, parts = provenance.versions(), []
    for study in merged.studies:
        recorded = provenance.recorded_versions(study.workdir)
        whose = f"Study {study.name}: trained" if len(merged.studies) > 1 else "Trained"
        text = f"with {_listed(recorded)}" if recorded else "with versions that were not noted"
        parts.append(page.paragraph(f"{whose} {text}."))
    if any(provenance.recorded_versions(study.workdir) != here for study in merged.studies):
        parts.append(page.paragraph(f"This page was made with {_listed(here)}.", "note"))
    return parts


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _label_spaces(runs: Sequence[FinishedRun]) -> Markup:
    columns = ["arm", "seeds", "label space", "classes", "fingerprint"]
    seeds: dict[tuple[str, str], list[int]] = {}
    spaces = {}
    for run in runs:
        space = run.recipes[0]["label_space"]  # of the pretraining; the target's for the baseline
        seeds.setdefault((run.arm, space["fingerprint"]), []).append(run.seed)
        spaces[run.arm, space["fingerprint"]] = space
    cells = [
        [arm, ", ".join(map(str, seeds[arm, fingerprint])), space["name"],
         f"{space['num_classes']:,}", fingerprint[:_SHORT]]
        for (arm, fingerprint), space in spaces.items()
    ]  # fmt: skip
    return page.table(
        columns,
        cells,
        caption=f"The first {_SHORT} digits of each SHA-256; all of it lies in the run's recipe.",
        label="Label spaces",
        text_columns=(1, 2, 4),
    )


def _every_run(runs: Sequence[FinishedRun]) -> Markup:
    columns = ["arm", "seed", "classes", "error %", "wrong", "of", "direct wrong", "transfer",
               "images seen", "training"]  # fmt: skip
    cells = [
        [
            run.arm,
            run.seed,
            f"{run.row.num_classes:,}",
            formats.percent(run.row.error(), 2),
            f"{run.row.num_wrong:,}",
            f"{run.row.num_images:,}",
            "" if run.row.direct_wrong is None else f"{run.row.direct_wrong:,}",
            run.row.transfer,
            f"{run.row.images_seen:,}",
            formats.duration(run.row.pretrain_seconds + run.row.transfer_seconds),
        ]
        for run in runs
    ]
    return page.table(columns, cells, label="Every run", text_columns=(7,))


def _recipes(merged: Merged) -> list[Markup]:
    several = len(merged.studies) > 1
    return [
        page.folded(
            f"Recipe of {study.name}, as resolved" if several else "Recipe, as resolved",
            page.preformatted(json.dumps(study.recipe, indent=1, ensure_ascii=False)),
        )
        for study in merged.studies
    ]
