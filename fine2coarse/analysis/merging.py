"""Several studies as if they were one."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.sentences import tries_candidates
from fine2coarse.analysis.study_folder import MergeError, StudyFolder, runs_in_words
from fine2coarse.errors import RecipeError
from fine2coarse.labels.same_classes import NOTE as SAME_CLASSES
from fine2coarse.recipes.names import BASELINE, NEW
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.runs.field_differences import short
from fine2coarse.runs.phase_folder import RECIPE

_TRANSFER_SETTINGS = (
    "transfer_candidates",
    "transfer_head",
    "transfer_mode",
    "transfer_choices",
    "transfer_validation_share",
)
# What the options of a dataset come to is told by its fingerprint.
_NOT_COMPARED = tuple(
    f"{dataset}.options" for dataset in ("dataset", "transfer_dataset", "evaluation")
)


@dataclasses.dataclass(frozen=True, eq=False)
class Merged:
    """Studies on one page.

    Attributes:
      studies: where the runs come from.
      runs: of all of them, by seed; an arm and a seed occur once.
      arms: name on the page → label spec, as in the recipe.
      notes: what a reader must know of the merge.
      partial: which runs are not finished yet; '' where all are.
    """

    studies: Sequence[StudyFolder]
    runs: Sequence[FinishedRun]
    arms: Mapping[str, Mapping[str, Any]]
    notes: Sequence[str]
    partial: str = ""

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Of the first study; they agree but for arms and seeds."""
        return self.studies[0].recipe


def merge(studies: Sequence[StudyFolder]) -> Merged:
    """Puts studies together.

    Seeds are pooled where arms have the same name and label spec. Arms of one name and different
    specs get their study's name appended. A run that two studies have is taken from the first.

    Raises:
      MergeError: where studies differ in target, test images, prepared data or training.
    """
    first = studies[0]
    for other in studies[1:]:
        _check_same_question(first, other)
    titles = _arm_titles(studies)
    arms: dict[str, Mapping[str, Any]] = {}
    runs: dict[tuple[int, str], FinishedRun] = {}
    num_repeated = 0
    for study in studies:
        for arm, spec in study.recipe["arms"].items():
            arms.setdefault(titles[study.workdir, arm], spec)
        for run in study.runs:
            title = titles.get((study.workdir, run.arm), run.arm)
            num_repeated += (run.seed, title) in runs
            runs.setdefault((run.seed, title), dataclasses.replace(run, arm=title))
    order = [BASELINE, *arms]
    ordered = sorted(runs.values(), key=lambda run: (run.seed, order.index(run.arm)))
    notes = [*_notes(studies, num_repeated), *_notes_on_arms(ordered)]
    return Merged(studies, ordered, arms, notes, _partial(studies, titles, runs))


def _partial(
    studies: Sequence[StudyFolder],
    titles: Mapping[tuple[pathlib.Path, str], str],
    runs: Collection[tuple[int, str]],
) -> str:
    """Which runs no study has finished; of one study, in its own words."""
    if len(studies) == 1:
        return _sentence(studies[0].partial_note)
    missing = {
        (titles.get((study.workdir, arm), arm), seed): None
        for study in studies
        for arm, seed in study.missing
    }
    left = [(arm, seed) for arm, seed in missing if (seed, arm) not in runs]
    if not left:
        return ""
    return (
        f"Partial: {len(runs)} of {len(runs) + len(left)} runs are finished; missing: "
        f"{runs_in_words(left)}."
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _notes_on_arms(runs: Sequence[FinishedRun]) -> list[str]:
    first = {run.arm: run for run in reversed(runs)}
    order = dict.fromkeys(run.arm for run in runs)
    same = [arm for arm in order if first[arm].has_target_classes]
    return [_sentence(SAME_CLASSES.format(arm=arm)) for arm in same]


def _notes(studies: Sequence[StudyFolder], num_repeated: int) -> list[str]:
    notes = []
    if len(studies) > 1:
        notes.append(f"Merged from {len(studies)} studies: {', '.join(s.name for s in studies)}.")
    if num_repeated:
        notes.append(
            f"{num_repeated} runs (same arm, same seed) are in several of them; the first's count."
        )
    notes += [_sentence(study.further_note) for study in studies if study.further]
    return notes


def _arm_titles(studies: Sequence[StudyFolder]) -> dict[tuple[pathlib.Path, str], str]:
    """(study, arm) → name on the page."""
    specs: dict[str, list[Any]] = {}
    for study in studies:
        for arm, spec in study.recipe["arms"].items():
            given = {name: value for name, value in spec.items() if value}
            if given not in specs.setdefault(arm, []):
                specs[arm].append(given)
    names = distinct_names(studies)
    return {
        (study.workdir, arm): arm if len(specs[arm]) == 1 else f"{arm} ({names[study.workdir]})"
        for study in studies
        for arm in study.recipe["arms"]
    }


def distinct_names(studies: Sequence[StudyFolder]) -> dict[pathlib.Path, str]:
    """Each study's name; with as many of the folders above it as make all of them differ."""
    paths = {study.workdir: study.workdir.resolve().parts for study in studies}
    for depth in range(1, max(map(len, paths.values())) + 1):
        names = {workdir: "/".join(parts[-depth:]) for workdir, parts in paths.items()}
        if len(set(names.values())) == len(set(paths.values())):
            break
    return names


def _check_same_question(first: StudyFolder, other: StudyFolder) -> None:
    """Raises MergeError naming what differs."""
    found = [
        f"{key} is {short(before)} in {first.name}, {short(after)} in {other.name}"
        for key, before, after in _differences(_common(first), _common(other))
    ]
    if not found:
        found = _different_images(first, other)
    if found:
        raise MergeError(
            f"{first.workdir} and {other.workdir} do not ask the same question: "
            f"{'; '.join(found[:6])}. To see them side by side: fine2coarse report --compare "
            f"{first.workdir} {other.workdir}"
        )


def _common(study: StudyFolder) -> dict[str, Any]:
    """What all runs of a study share, by dotted key, and what its data were in the end.

    Recipes of earlier versions are read in the form of the present one, and what says only where
    files lie or how fast they are read is left out.

    Raises:
      MergeError: where the recipe cannot be read.
    """
    try:
        settings = Recipe.from_stored({**study.recipe, "arms": {}}).defining()
    except RecipeError as error:
        raise MergeError(f"{study.workdir}: its {RECIPE} cannot be read: {error}") from error
    settings = {k: v for k, v in settings.items() if k not in _TRANSFER_SETTINGS}
    flat: dict[str, Any] = {}
    flatten(settings | _transfer_settings(study.recipe), "", flat)
    flat = {k: v for k, v in flat.items() if not any(_within(k, skip) for skip in _NOT_COMPARED)}
    recipe = study.runs[0].tested_recipe
    flat["target label space"] = recipe["label_space"]["fingerprint"]
    flat["dataset fingerprint"] = recipe["dataset_fingerprint"]
    return flat


def _transfer_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What says how arms are transferred, and no more: settings without effect are left out.

    A recipe from before several transfers were tried always made one, from a new head.
    """
    choices = recipe.get("transfer_choices") or {}
    if tries_candidates(recipe):
        share = recipe.get("transfer_validation_share")
        found = {"transfer_candidates": "auto", "transfer_validation_share": share}
        return found | ({"transfer_choices": choices} if choices else {})
    found = {"transfer_candidates": "off", "transfer_head": recipe.get("transfer_head", NEW)}
    found["transfer_mode"] = recipe.get("transfer_mode")
    return found | ({"transfer_choices": choices} if choices else {})


def _within(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(prefix + ".")


def flatten(value: Any, key: str, into: dict[str, Any]) -> None:
    """Adds what mappings within mappings hold, by dotted key; an empty mapping is a value.

    Args:
      value: a mapping, or what one holds.
      key: of it; empty for the outermost.
      into: what it is added to.
    """
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            flatten(part, f"{key}.{name}" if key else name, into)
    else:
        into[key] = value


def _differences(before: Mapping, after: Mapping) -> list[tuple[str, Any, Any]]:
    """A setting that one of them does not have is None in it."""
    return [
        (key, before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _different_images(first: StudyFolder, other: StudyFolder) -> list[str]:
    """Whether they were tested on other images, as far as the predictions tell."""
    if not all(study.runs[0].predictions.are_stored for study in (first, other)):
        same = first.runs[0].row.num_images == other.runs[0].row.num_images
        return [] if same else ["the number of test images"]
    ours, theirs = (study.runs[0].predictions.transferred for study in (first, other))
    if len(ours.image_ids) != len(theirs.image_ids):
        return [
            f"{len(ours.image_ids)} test images in {first.name}, "
            f"{len(theirs.image_ids)} in {other.name}"
        ]
    if ours.same_images(theirs):
        return []
    not_shared = len(np.setdiff1d(ours.image_ids, theirs.image_ids))
    if not_shared:
        return [f"the test images, of which {not_shared} are not shared"]
    return ["the order or the targets of the test images"]
