"""What a study leaves behind for its reader: `granularity.png` and `report.html`."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fine2coarse.experiment import results
from fine2coarse.experiment.recipe import BASELINE, LabelSpec, Recipe
from fine2coarse.reporting import page
from fine2coarse.reporting.figures import COLOURS, MARKERS, saved_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE, PAGE = "granularity.png", "report.html"
_PANELS = {"all": "all images", "easy": "easy images", "hard": "hard images"}
_GENERATED = (
    "These images are generated, not photographs: they show that the system finds what is there "
    "to be found, not how large the effect is on real images."
)


def write_report(
    workdir: pathlib.Path, recipe: Recipe, dataset_name: str, rows: Sequence[results.Row]
) -> pathlib.Path:
    """Draws the picture and writes the page; returns the page's path."""
    draw_granularity(workdir / PICTURE, recipe, rows)
    page.write(workdir / PAGE, _render(workdir, recipe, dataset_name, rows))
    return workdir / PAGE


def draw_granularity(path: pathlib.Path, recipe: Recipe, rows: Sequence[results.Row]) -> None:
    """Error against number of classes: mean and standard deviation over seeds, a panel a kind."""
    panels = [which for which in _PANELS if results.summarise(rows, which)]
    shown = panels if len(panels) == 1 else [p for p in panels if p != "easy"]
    with saved_figure(
        path, width_inches=6.4, height_inches=3.6 * len(shown), nrows=len(shown), squeeze=False
    ) as axes:
        for which, axis in zip(shown, axes[:, 0]):
            _draw_panel(axis, results.summarise(rows, which), _kinds(recipe))
            axis.set_title(_PANELS[which], loc="left")
            axis.set_ylabel("top-1 error (%)")
        axes[-1, 0].set_xlabel("classes in pretraining (log axis)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _kinds(recipe: Recipe) -> Mapping[str, str]:
    """Arm → the series it is drawn in: levels share one, and so do clusters and random ids."""
    return {arm: _kind(arm, spec) for arm, spec in recipe.arms.items()}


def _kind(arm: str, spec: LabelSpec) -> str:
    if spec.source == "level":
        return "taxonomy level"
    aligned = spec.options.get("aligned", True)
    if spec.source == "clusters":
        return f"clusters {'within the target' if aligned else 'of the whole set'}"
    if spec.source == "random":
        return f"random, {'aligned' if aligned else 'unaligned'}"
    return arm


def _draw_panel(
    axis: Axes, summaries: Sequence[results.ArmSummary], kinds: Mapping[str, str]
) -> None:
    series: dict[str, list[results.ArmSummary]] = {}
    for summary in summaries:
        if summary.arm == BASELINE:
            _draw_baseline(axis, summary)
        else:
            series.setdefault(kinds.get(summary.arm, summary.arm), []).append(summary)
    for index, (kind, members) in enumerate(sorted(series.items(), key=_levels_first)):
        axis.errorbar(
            [member.num_classes for member in members],
            [100 * member.mean for member in members],
            yerr=[100 * member.deviation for member in members],
            label=kind,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=7,
            capsize=4,
            linestyle="-" if len(members) > 1 else "none",
        )
        if kind == "taxonomy level":
            for member in members:
                axis.annotate(
                    member.arm,
                    (member.num_classes, 100 * member.mean),
                    textcoords="offset points",
                    xytext=(7, 6),
                    fontsize=9,
                )
    axis.set_xscale("log")
    ticks = sorted({s.num_classes for s in summaries if s.arm != BASELINE})
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.set_ylim(bottom=0)
    axis.margins(x=0.15)


def _levels_first(item: tuple[str, object]) -> tuple[bool, str]:
    return item[0] != "taxonomy level", item[0]


def _draw_baseline(axis: Axes, summary: results.ArmSummary) -> None:
    mean, deviation = 100 * summary.mean, 100 * summary.deviation
    axis.axhline(mean, color="#000000", linestyle="--", linewidth=1.2, label="baseline (target)")
    axis.axhspan(mean - deviation, mean + deviation, color="#000000", alpha=0.08, linewidth=0)


def answer(rows: Sequence[results.Row]) -> str:
    """Which granularity won, in words; cautious where the spread is as large as the gap."""
    which = "hard" if any(row.hard_images for row in rows) else "all"
    kind = "hard-image" if which == "hard" else "top-1"
    summaries = results.summarise(rows, which)
    baseline = next((s for s in summaries if s.arm == BASELINE), None)
    others = [s for s in summaries if s.arm != BASELINE]
    if baseline is None or not others:
        return "There is nothing to compare yet."
    best = min(others, key=lambda s: s.mean)
    gap = baseline.mean - best.mean
    spread = max(best.deviation, baseline.deviation)
    figures = (
        f"{kind} error {results.percent(best)} % from {best.arm} ({best.num_classes} classes) "
        f"against {results.percent(baseline)} % without pretraining on other labels, "
        f"{best.num_seeds} seeds"
    )
    if best.num_seeds < 2:
        return f"One seed cannot tell. Seen: {figures}."
    if gap <= 0:
        return f"No label space beat the baseline: {figures}."
    if gap <= 2 * spread:
        return f"Not clear: the best gap is within twice the spread over seeds. {figures}."
    return f"{best.arm} won: {figures}."


def _render(
    workdir: pathlib.Path, recipe: Recipe, dataset_name: str, rows: Sequence[results.Row]
) -> str:
    columns, cells = results.table(rows)
    best = min(results.summarise(rows), key=lambda summary: summary.mean).arm
    marks = {BASELINE: "baseline", best: "best"}
    classes = [marks.get(line[0], "") for line in cells]
    target_name = recipe.target.options.get("level", recipe.target.source)
    sections = [
        page.paragraph(answer(rows), "answer"),
        page.paragraph(
            f"The question: which labels should a {recipe.backbone.name} be pretrained on, when "
            f"the task is to tell the {target_name} of images of {dataset_name}? Each arm "
            f"pretrains on its labels, then transfers to the task ({recipe.transfer_mode}); the "
            "baseline trains on the task's labels all along. Every run sees "
            f"{rows[0].images_seen:,} images and is tested on {rows[0].num_images:,}; the arms "
            "share their seeds."
        ),
        page.paragraph(_GENERATED, "note") if recipe.dataset.name == "demo" else "",
        page.figure(
            workdir / PICTURE,
            alt="Top-1 error against the number of pretraining classes, one series a kind of "
            "label, with the baseline as a dashed line. The table below holds the numbers.",
            caption="Mean and standard deviation over seeds; dashed: baseline, trained on the "
            "target labels alone.",
        ),
        page.heading("Results"),
        page.table(
            columns,
            cells,
            row_classes=classes,
            caption="Mean ± standard deviation over seeds. The change is that of the mean error "
            "relative to the baseline's, over the seeds both have.",
        ),
        page.heading("Every run"),
        page.folded("One row a run", page.table(*_run_table(rows))),
        page.heading("Recipe"),
        page.folded("As resolved", page.preformatted(json.dumps(recipe.to_dict(), indent=1))),
        page.heading("Made with"),
        page.paragraph(_versions()),
    ]
    return page.render("Which labels to pretrain on?", [s for s in sections if s])


def _run_table(rows: Sequence[results.Row]) -> tuple[list[str], list[list[object]]]:
    columns = ["arm", "seed", "classes", "wrong", "of", "images seen", "seconds"]
    cells = [
        [
            row.arm,
            row.seed,
            row.num_classes,
            row.num_wrong,
            row.num_images,
            row.images_seen,
            f"{row.pretrain_seconds + row.transfer_seconds:.1f}",
        ]
        for row in rows
    ]
    return columns, cells


def _versions() -> str:
    packages = ("tensorflow", "keras", "keras-hub", "tensorflow-datasets", "numpy")
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} (not installed under that name)")
    return f"{', '.join(found)}; Python {platform.python_version()} on {platform.machine()}."
