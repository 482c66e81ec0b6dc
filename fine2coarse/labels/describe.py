"""A label space described for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from fine2coarse import terminal
from fine2coarse.labels.advise import Advice
from fine2coarse.labels.agreement import Agreement, agreement, class_sizes
from fine2coarse.labels.image_index import ImageIndex
from fine2coarse.labels.space import LabelSpace

_NUM_SHOWN = 8


def summary(space: LabelSpace) -> str:
    """What the file alone says: classes, rows, what it belongs to."""
    covered = int(np.sum(space.table[:, 0] >= 0))
    kind = "multi-label" if space.is_multi_label else "single-label"
    return "\n".join(
        [
            f"{space.name}: {space.num_classes:,} classes, {kind}, keyed by {space.keyed_by}",
            f"  rows covered      {covered:,} of {len(space.table):,}",
            f"  fingerprint       {space.fingerprint[:16]}",
            f"  belongs to        {space.dataset_fingerprint[:16] or 'unknown'}",
            f"  made by           {_source_text(space)}",
        ]
    )


def with_images(space: LabelSpace, images: ImageIndex) -> str:
    """Class sizes and entropy over the training images, largest and smallest classes named."""
    sizes = class_sizes(space, images)
    counts = sizes.sizes
    order = np.argsort(-counts, kind="stable")
    largest = [f"{space.class_names[c]} {counts[c]:g}" for c in order[:_NUM_SHOWN]]
    return "\n".join(
        [
            f"  training images   {sizes.num_images:,} labelled, {sizes.num_uncovered:,} left out",
            f"  images per class  {counts.min():g} smallest, {np.median(counts):g} median, "
            f"{counts.max():g} largest, {int(np.sum(counts == 0))} classes empty",
            f"  entropy           {sizes.entropy_bits:.3f} bits "
            f"(as {sizes.num_effective_classes:,.1f} classes of equal size)",
            f"  largest classes   {', '.join(largest)}",
        ]
    )


def agreement_table(space: LabelSpace, others: Sequence[LabelSpace], images: ImageIndex) -> str:
    """One row for each other space: purity, NMI, straddling classes."""
    columns = ("against", "classes", "purity", "NMI", "straddling", "images")
    rows = []
    for other in others:
        found = agreement(space, other, images)
        rows.append((other.name, f"{other.num_classes:,}", *_cells(found)))
    return _indented(columns, rows)


def advice_table(ranking: Sequence[Advice]) -> str:
    """Numbers of clusters, the best first; those that may be as good as it are marked."""
    columns = ("clusters", "score", "gap to best", "reproducible", "ambiguity", "")
    rows = []
    for advice in ranking:
        rows.append(
            (
                f"{advice.num_clusters:,}",
                f"{advice.score:.3f}",
                f"{advice.gap:.3f} ± {advice.gap_error:.3f}",
                f"{advice.information:.3f}",
                f"{advice.ambiguity:.3f}",
                "good" if advice.is_good else "",
            )
        )
    good = sorted(advice.num_clusters for advice in ranking if advice.is_good)
    return (
        _indented(columns, rows)
        + "\n  bits; ± is the standard error of the gap over repeats. Try first: "
        + ", ".join(f"{number:,}" for number in good)
    )


def _indented(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return textwrap.indent(terminal.table(columns, rows), "  ")


def _cells(found: Agreement) -> tuple[str, ...]:
    return (
        f"{found.purity:.4f}",
        f"{found.nmi:.4f}",
        f"{found.num_straddling:,} of {found.num_classes:,}",
        f"{found.num_images:,}",
    )


def _source_text(space: LabelSpace) -> str:
    simple = {
        key: value
        for key, value in space.source.items()
        if isinstance(value, str | int | float | bool) and value not in ("", None)
    }
    kind = simple.pop("kind", "hand")
    return ", ".join([str(kind), *(f"{key}={_short(value)}" for key, value in simple.items())])


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:12] + "…"
