"""Comparisons in words: a sentence for each arm and use, the answer, and transfers that lost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.analysis.comparison import (
    HIGHER,
    LOWER,
    TOO_FEW_SEEDS,
    UNCLEAR,
    ArmComparison,
    Comparison,
)
from fine2coarse.analysis.intervals import Interval
from fine2coarse.analysis.outcomes import DIRECT
from fine2coarse.recipes.names import BASELINE


def words(found: Comparison, baseline: str, num_tests: int) -> str:
    """A comparison in words, without its title; of so many that were tested together."""
    if found.arm == baseline:
        return f"error {percent(found.error)} %, {count(found.num_seeds, 'seed')}"
    if found.difference is None:
        return (
            f"error {percent(found.error)} %; no seed in common with the {baseline}, "
            "so nothing to compare"
        )
    text = f"{change_in_words(found, baseline)}, {count(found.num_pairs, 'seed')}"
    if found.num_pairs < found.num_seeds:
        text += f" shared of {found.num_seeds}"
    return text + _reservation(found, num_tests)


def _reservation(found: Comparison, num_tests: int) -> str:
    """What keeps the sentence from being a verdict, if anything does."""
    if found.verdict == TOO_FEW_SEEDS:
        return "; one seed cannot tell: no measure of how runs vary. Use 3 or more"
    if found.verdict != UNCLEAR:
        return ""
    if found.difference.excludes_zero:
        return f"; not certain once corrected for {num_tests} comparisons"
    few = "; two seeds show little, use 3 or more" if found.num_pairs == 2 else ""
    return f"; not told apart from the baseline{few}"


def change_in_words(found: Comparison, baseline: str = BASELINE) -> str:
    """For example `error 8.1% lower than the baseline [5.2, 11.0]`."""
    change, unit = found.relative_change, "%"
    if change is None or math.isinf(change.high):
        change, unit = found.difference, " percentage points"
    if change.estimate == 0:
        return f"error as high as the {baseline}'s{_bounds(change)}"
    side = "lower" if change.estimate < 0 else "higher"
    shown = change.flipped if change.estimate < 0 else change
    return (
        f"error {100 * shown.estimate:.1f}{unit} {side} than the {baseline}{_bounds(shown, side)}"
    )


def _bounds(interval: Interval, side: str = HIGHER) -> str:
    if not interval.is_known:
        return ""
    if interval.excludes_zero:
        return f" [{percent_bounds(interval)}]"
    other = LOWER if side == HIGHER else HIGHER
    return f" [{-100 * interval.low:.1f} {other} to {100 * interval.high:.1f} {side}]"


def percent_bounds(interval: Interval, digits: int = 1) -> str:
    """For example `5.2, 11.0`: the ends in percent."""
    return f"{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}"


def percent(interval: Interval, digits: int = 2) -> str:
    """For example `35.93 [30.10, 41.76]`; without the brackets where there are no bounds."""
    estimate = f"{100 * interval.estimate:.{digits}f}"
    return f"{estimate} [{percent_bounds(interval, digits)}]" if interval.is_known else estimate


def count(number: int, noun: str) -> str:
    """For example `1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(comparisons: Sequence[ArmComparison], recipe: Mapping[str, Any] | None = None) -> str:
    """All that is said of a study: a line each arm and use, the answer, transfers that lost."""
    told = [*sentences(comparisons), "", headline(comparisons)]
    return "\n".join([*told, *transfer_losses(comparisons, recipe)])


def sentences(comparisons: Sequence[ArmComparison]) -> list[str]:
    """What was found of each arm in each use, in words; two uses that are one are said once."""
    return [use.sentence for arm in comparisons for use in arm.uses]


def headline(comparisons: Sequence[ArmComparison]) -> str:
    """The study's answer in one or two sentences: of every arm, by its better use."""
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
    best = min((c.better for c in arms), key=lambda use: use.difference.estimate)
    if all(c.better.verdict == TOO_FEW_SEEDS for c in arms):
        return f"Too few seeds to tell. Seen: {best.sentence}."
    if all(c.better.verdict == HIGHER for c in arms):
        return (
            f"No label space beat the baseline: all {len(arms)} did worse. Best: {best.sentence}."
        )
    return f"No label space certainly beat the baseline. Nearest: {best.sentence}."


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
        f"{c.arm}: transfer lost {100 * c.transfer_change.estimate:.1f} points "
        f"[{percent_bounds(c.transfer_change)}] against the same model used directly."
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
