"""Comparisons as sentences: one for each arm and use, the answer, and transfers that lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse import formats
from fine2coarse.analysis.comparison import (
    HIGHER,
    LOWER,
    TOO_FEW_SEEDS,
    UNCLEAR,
    ArmComparison,
    Comparison,
)
from fine2coarse.analysis.intervals import Interval
from fine2coarse.recipes.names import BASELINE, DIRECT

_OTHER_SIDE = {LOWER: HIGHER, HIGHER: LOWER, "fewer": "more", "more": "fewer"}


def words(found: Comparison, baseline: str, num_tests: int) -> str:
    """A comparison as a sentence without its title; of so many that were tested together."""
    if found.arm == baseline:
        return f"error {_error(found)} %, {formats.counted(found.num_seeds, 'seed')}"
    if found.difference is None:
        return (
            f"error {_error(found)} %; no seed in common with the {baseline}, so nothing to compare"
        )
    text = f"{change_in_words(found, baseline)}, {formats.counted(found.num_pairs, 'seed')}"
    if found.num_pairs < found.num_seeds:
        text += f" shared of {found.num_seeds}"
    return text + _reservation(found, num_tests)


def _error(found: Comparison) -> str:
    """For example `35.93 [30.10, 41.76]`, in percent."""
    return formats.interval(found.error, digits=2)


def _reservation(found: Comparison, num_tests: int) -> str:
    """What keeps the sentence from being a verdict, if anything does."""
    if found.verdict == TOO_FEW_SEEDS:
        return "; one seed cannot tell: no measure of how runs vary. Use 3 or more"
    if found.verdict != UNCLEAR:
        return ""
    if found.difference.excludes_zero:
        return f"; not certain once corrected for {num_tests} comparisons"
    few = "; two seeds show little, use 3 or more" if found.num_pairs == 2 else ""
    return f"; no clear difference from the baseline{few}"


def change_in_words(found: Comparison, baseline: str = BASELINE) -> str:
    """For example `error 8.1% lower than the baseline [5.2, 11.0]`."""
    change, unit = found.relative_change, "%"
    if change is None or math.isinf(change.high):
        change, unit = found.difference, " percentage points"
    if change.estimate == 0:
        return f"error as high as the {baseline}'s{_bounds(change)}"
    side = LOWER if change.estimate < 0 else HIGHER
    shown = change.flipped if change.estimate < 0 else change
    size = formats.percent(shown.estimate)
    return f"error {size}{unit} {side} than the {baseline}{_bounds(shown, side)}"


def _bounds(interval: Interval, side: str = HIGHER) -> str:
    if not interval.is_known:
        return ""
    if interval.excludes_zero:
        return f" [{formats.bounds(interval)}]"
    other = _OTHER_SIDE[side]
    low, high = formats.percent(-interval.low), formats.percent(interval.high)
    return f" [{low} {other} to {high} {side}]"


def summary(comparisons: Sequence[ArmComparison], recipe: Mapping[str, Any] | None = None) -> str:
    """All that is said of a study: a line each arm and use, the answer, transfers that lost."""
    told = [*sentences(comparisons), "", headline(comparisons)]
    return "\n".join([*told, *transfer_losses(comparisons, recipe)])


def sentences(comparisons: Sequence[ArmComparison]) -> list[str]:
    """A sentence for each arm in each use; two uses that are one are said once."""
    return [use.sentence for arm in comparisons for use in arm.uses]


def headline(comparisons: Sequence[ArmComparison]) -> str:
    """The study's answer in one or two sentences: of every arm, by its better use."""
    if is_means_only(comparisons):
        best = min((c.better for c in comparisons), key=lambda use: use.error.estimate)
        return (
            f"Least error: {best.sentence}. These runs kept no predictions for single images, "
            "so there is no test of whether that is chance."
        )
    arms = [c for c in comparisons if c.better.verdict and c.better.difference is not None]
    if not arms:
        return "There is nothing to compare yet."
    lower = [c for c in arms if c.better.verdict == LOWER]
    if lower:
        best, *others = sorted(lower, key=lambda c: c.better.error.estimate)
        also = ", ".join(c.arm for c in others)
        return f"{_named(best)} beat the baseline: {best.better.words}." + (
            f" So did {also}; these arms are not tested against each other." if also else ""
        )
    best = min(arms, key=lambda c: c.better.difference.estimate)
    if all(c.better.verdict == TOO_FEW_SEEDS for c in arms):
        seen = f"{_seen(best.better)}, {formats.counted(best.better.num_pairs, 'seed')}"
        return f"Too few seeds to tell: use 3 or more. Seen, but not certain: {seen}."
    if all(c.better.verdict == HIGHER for c in arms):
        if len(arms) == 1:
            return f"No label space beat the baseline: {_seen(best.better)}."
        return (
            f"No label space beat the baseline: all {len(arms)} did worse. The closest: "
            f"{_seen(best.better)}."
        )
    return (
        "No label space beat the baseline for certain. The one of least error: "
        f"{_seen(best.better)}{_why_unclear(best.better)}."
    )


def _seen(found: Comparison) -> str:
    """For example `middle (direct), with 45.1 % more errors than the baseline [12.0, 80.1]`."""
    change, unit = found.relative_change, " %"
    if change is None or math.isinf(change.high):
        change, unit = found.difference, " percentage points"
    if change.estimate == 0:
        return f"{found.title}, with as many errors as the baseline{_bounds(change, 'more')}"
    side = "fewer" if change.estimate < 0 else "more"
    shown = change.flipped if change.estimate < 0 else change
    size = formats.percent(shown.estimate)
    return f"{found.title}, with {size}{unit} {side} errors than the baseline{_bounds(shown, side)}"


def _why_unclear(found: Comparison) -> str:
    """What keeps a difference from being certain."""
    if found.verdict == TOO_FEW_SEEDS:
        return ", at one seed, which cannot tell"
    if found.verdict != UNCLEAR:
        return ""
    if found.difference.excludes_zero:
        return ", which is not certain once corrected for the number of comparisons"
    return ", which may be chance"


def is_means_only(comparisons: Sequence[ArmComparison]) -> bool:
    """Whether there are differences but no tests, as runs kept no predictions."""
    uses = [use for c in comparisons for use in c.uses]
    return any(use.difference is not None and not use.verdict for use in uses)


def _named(best: ArmComparison) -> str:
    name = f"{best.arm} ({best.num_classes:,} classes)"
    if best.direct is None:
        return name
    return f"{name}, {'used directly' if best.better.use == DIRECT else 'after transfer'},"


def transfer_losses(
    comparisons: Sequence[ArmComparison], recipe: Mapping[str, Any] | None = None
) -> list[str]:
    """The arms whose transfer lost what pretraining had learnt, and what to try.

    Args:
      comparisons: of all arms.
      recipe: the study's `recipe.json`, so that nothing is advised that was done.

    Returns:
      A sentence for each arm whose transferred model is worse than its direct one beyond the
      interval, then one with remedies; nothing where there is no such arm.
    """
    lost = [
        f"{c.arm}: transfer lost {formats.percent(c.transfer_change.estimate)} points "
        f"[{formats.bounds(c.transfer_change)}] against the same model used directly."
        for c in comparisons
        if c.transfer_loses
    ]
    return [*lost, _remedies(recipe or {})] if lost else []


def _remedies(recipe: Mapping[str, Any]) -> str:
    tried = ["use the model directly"]
    if not tries_candidates(recipe):
        tried.append(
            "leave transfer_candidates on 'auto' and name no transfer_head or transfer_mode, so "
            "that held-out training images choose among several transfers and the direct use"
        )
        if recipe.get("transfer_head") != "summed":
            tried.append("keep the pretrained head with --config.transfer_head=summed")
    tried.append("lower --config.transfer.optimizer.learning_rate")
    return f"What to try: {'; '.join(tried)}."


def tries_candidates(recipe: Mapping[str, Any]) -> bool:
    """Whether a study with this `recipe.json` tries several transfers of each arm."""
    named = {recipe.get("transfer_head", "auto"), recipe.get("transfer_mode", "auto")} - {"auto"}
    return recipe.get("transfer_candidates") == "auto" and not named
