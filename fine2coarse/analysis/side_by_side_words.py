"""Studies side by side, in words: whose best arm has the lowest error, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence

from fine2coarse import formats
from fine2coarse.analysis.comparison import HIGHER, TOO_FEW_SEEDS, UNCLEAR, Comparison
from fine2coarse.analysis.side_by_side import Best, Change, SideBySide
from fine2coarse.analysis.uses import TRANSFERRED
from fine2coarse.recipes.names import BASELINE, DIRECT


def headline(found: SideBySide) -> str:
    """Which study's best arm has the lowest error, and how sure that is."""
    if not found.best:
        return "There is nothing to compare yet: no study has a finished run of an arm."
    first, *others = found.best
    told = f"Lowest error: {found.names[first.study]}, {_at(first.found)}{_baseline(found, first)}"
    grouped: dict[str, list[str]] = {}
    for best in others:
        grouped.setdefault(_certainty(best.change), []).append(found.names[best.study])
    parts = [words.format(_listed(names)) for words, names in grouped.items()]
    parts = [*_lower_baseline(found, first), *parts]
    return f"{told}. {' '.join(parts)}".strip()


def _lower_baseline(found: SideBySide, best: Best) -> list[str]:
    """That another study's baseline has less error than the best arm of all, where one has."""
    baselines = {
        number: baseline.error.estimate
        for number in range(len(found.names))
        if (baseline := found.found((BASELINE, TRANSFERRED), number)) is not None
    }
    lowest = min(baselines, key=lambda number: baselines[number], default=best.study)
    if lowest == best.study or baselines[lowest] >= best.found.error.estimate:
        return []
    return [
        f"The baseline of {found.names[lowest]} has less: "
        f"{formats.percent(baselines[lowest], 2)} %."
    ]


def _certainty(change: Change | None) -> str:
    """A sentence about the studies of one kind, to be filled in with their names."""
    if change is None:
        return "Not comparable with {}."
    return {
        HIGHER: "For certain lower than the best of {}.",
        TOO_FEW_SEEDS: "Whether it beats the best of {}, one seed cannot tell: use 3 or more.",
    }.get(change.verdict, "Not certainly lower than the best of {}: that may be chance.")


def _listed(names: Sequence[str]) -> str:
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def ranking(found: SideBySide) -> list[str]:
    """A line a study: its best arm, and by how much its error is above the lowest."""
    lines = []
    for best in found.best:
        against = "" if best is found.best[0] else _against(best.change, found.best[0], found.names)
        about = _baseline(found, best)
        lines.append(f"{found.names[best.study]}: {_at(best.found)}{about}{against}")
    return lines


def _at(found: Comparison) -> str:
    how = ", used directly" if found.use == DIRECT else ""
    return f"{found.arm}{how}, at {formats.percent(found.error.estimate, 2)} %"


def _baseline(found: SideBySide, best: Best) -> str:
    baseline = found.found((BASELINE, TRANSFERRED), best.study)
    if baseline is None:
        return ""
    is_above = best.found.error.estimate > baseline.error.estimate
    about = "above its baseline" if is_above else "its baseline"
    return f" ({about}: {formats.percent(baseline.error.estimate, 2)} %)"


def _against(change: Change | None, first: Best, names: Sequence[str]) -> str:
    if change is None:
        return "; not comparable"
    points = change.difference.estimate
    shown = change.difference.flipped if points < 0 else change.difference
    size = f"{formats.percent(shown.estimate)} points {'less' if points < 0 else 'more'}"
    bounds = f" [{formats.bounds(shown)}]" if shown.is_known else ""
    over = formats.counted(change.num_seeds, "shared seed") if change.is_paired else "other seeds"
    sure = {TOO_FEW_SEEDS: "one seed cannot tell", UNCLEAR: "may be chance"}
    return (
        f"; {size} than {names[first.study]}{bounds}, over {over}, "
        f"{sure.get(change.verdict, 'for certain')}"
    )
