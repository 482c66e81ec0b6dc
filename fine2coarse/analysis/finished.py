"""A finished run: its results in numbers, its row of the study's table, its predictions."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.analysis.predictions import RunPredictions
from fine2coarse.analysis.results import Row
from fine2coarse.files import read_json
from fine2coarse.labels.same_classes import has_same_classes
from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.recipes.names import BASELINE, LINEAR_PROBE, NEW, PRETRAIN, STRAIGHT
from fine2coarse.runs.phase_folder import LABEL_SPACE, RECIPE, PhaseFolder, last_phase


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run cost: all that was trained for it, transfers that were not chosen included.

    Attributes:
      seconds: of training.
      images: shown in training, repeats counted.
      flops: floating-point operations of training; None where a part did not record them.
      peak_memory_bytes: the largest of the parts' peaks; None where a part did not record it.
    """

    seconds: float
    images: int
    flops: float | None
    peak_memory_bytes: int | None

    @classmethod
    def of(cls, parts: Sequence[Mapping[str, Any]]) -> Cost:
        """From the results of what was trained; a part that saw no image cost nothing."""
        trained = [part for part in parts if part["images_seen"]]
        per_image = [_recorded(part, "train_flops_per_image") for part in trained]
        peaks = [_recorded(part, "peak_memory_bytes") for part in trained]
        images = [part["images_seen"] for part in trained]
        return cls(
            seconds=sum(part["elapsed_seconds"] for part in trained),
            images=sum(images),
            flops=None
            if None in per_image
            else float(sum(flops * shown for flops, shown in zip(per_image, images))),
            peak_memory_bytes=None if None in peaks else max(peaks, default=None),
        )


def _recorded(part: Mapping[str, Any], name: str) -> int | None:
    return (part.get("cost") or {}).get(name)


@dataclasses.dataclass(frozen=True, eq=False)
class FinishedRun:
    """One finished run of an arm.

    Attributes:
      arm: its name; on the page of several studies it may be another than its folder's.
      seed: of the run.
      folder: of the run; its phases lie within.
      pretrained: `result.json` of the pretraining; None for the baseline.
      tested: `result.json` of the phase that was tested last.
      transfer: name of the transfer that `tested` is of; the baseline's last phase has one too.
      predictions: the predictions for single images.
    """

    arm: str
    seed: int
    folder: pathlib.Path
    pretrained: Mapping[str, Any] | None
    tested: Mapping[str, Any]
    transfer: str
    predictions: RunPredictions

    @property
    def num_classes(self) -> int:
        """Of the label space that it pretrained on; the target's for the baseline."""
        return (self.pretrained or self.tested)["num_classes"]

    @property
    def candidates(self) -> Mapping[str, Mapping[str, Any]]:
        """Name → result of each transfer that was tried, in order; empty where one was fixed."""
        return self.tested.get("candidates") or {}

    @property
    def transfers(self) -> list[Mapping[str, Any]]:
        """Results of every transfer that was trained, or of the baseline's trainings."""
        return list(self.candidates.values()) or [self.tested]

    @property
    def trained(self) -> list[Mapping[str, Any]]:
        """Results of all that was trained: the pretraining, then every transfer."""
        return [*([] if self.pretrained is None else [self.pretrained]), *self.transfers]

    @property
    def cost(self) -> Cost:
        """Of all that was trained."""
        return Cost.of(self.trained)

    @property
    def direct(self) -> Mapping[str, int] | None:
        """Counts of the pretrained model used as it is, probabilities summed into the target's.

        None for the baseline, and where it was not tested on the target's images and classes.
        """
        return _direct(self.pretrained, self.tested)

    @property
    def direct_argmax(self) -> Mapping[str, int] | None:
        """Counts of the pretrained model's largest class, mapped to the target; None as above."""
        return None if self.direct is None else self.pretrained.get("direct_argmax")

    @functools.cached_property
    def row(self) -> Row:
        """Its line in `results.csv`."""
        counts = {"easy_wrong": None, "easy_images": None, "hard_wrong": None, "hard_images": None}
        direct, argmax = self.direct or {}, self.direct_argmax or {}
        return Row(
            arm=self.arm,
            num_classes=self.num_classes,
            seed=self.seed,
            images_seen=self.cost.images,
            pretrain_seconds=self.pretrained["elapsed_seconds"] if self.pretrained else 0.0,
            transfer_seconds=Cost.of(self.transfers).seconds,
            direct_wrong=direct.get("num_wrong"),
            direct_argmax_wrong=argmax.get("num_wrong"),
            direct_easy_wrong=direct.get("easy_wrong"),
            direct_hard_wrong=direct.get("hard_wrong"),
            transfer=self.transfer,
            **{**counts, **self.tested["evaluation"]},
        )

    @property
    def is_baseline(self) -> bool:
        """Whether it trained on the target's labels all along."""
        return self.arm == BASELINE

    @property
    def tested_folder(self) -> pathlib.Path:
        """Folder of the phase that was tested last."""
        return self.folder / last_phase(self.arm)

    @property
    def phases(self) -> list[pathlib.Path]:
        """Folders of its phases, in order."""
        before = [] if self.is_baseline else [self.folder / PRETRAIN]
        return [*before, self.tested_folder]

    @functools.cached_property
    def recipes(self) -> list[Mapping[str, Any]]:
        """`recipe.json` of each phase, in order."""
        return [read_json(phase / RECIPE) for phase in self.phases]

    @property
    def tested_recipe(self) -> Mapping[str, Any]:
        """`recipe.json` of the phase that was tested last; its label space is the target's."""
        return self.recipes[-1]

    @functools.cached_property
    def has_target_classes(self) -> bool:
        """Whether it pretrained on the target's own classes; False for the baseline."""
        if self.is_baseline:
            return False
        ours, target = (recipe.get("label_space", {}) for recipe in self.recipes)
        if ours.get("num_classes") != target.get("num_classes"):
            return False
        if ours.get("fingerprint") == target.get("fingerprint"):
            return True
        try:
            return has_same_classes(*(LabelSpace.load(p / LABEL_SPACE) for p in self.phases))
        except LabelSpaceError:  # an early version kept none
            return False

    def class_names(self) -> tuple[str, ...]:
        """Names of the target's classes, in their order; their numbers where none are stored."""
        path = self.tested_folder / LABEL_SPACE
        if not path.is_file():
            highest = int(self.predictions.transferred.targets.max())
            return tuple(str(number) for number in range(highest + 1))
        return LabelSpace.load(path).class_names


def read_run(folder: pathlib.Path, arm: str, seed: int) -> FinishedRun:
    """Reads a finished run's results; its predictions are read when they are asked for.

    Args:
      folder: of the run.
      arm: its name in the recipe.
      seed: of the run.

    Raises:
      RunError: where a phase is not finished.
    """
    last = PhaseFolder(folder / last_phase(arm))
    pretrained = None if arm == BASELINE else PhaseFolder(folder / PRETRAIN).result()
    tested = last.result()
    was_direct = _direct(pretrained, tested) is not None
    return FinishedRun(
        arm=arm,
        seed=seed,
        folder=folder,
        pretrained=pretrained,
        tested=tested,
        transfer=tested.get("transfer") or _early_transfer(arm, last.path / RECIPE),
        predictions=RunPredictions(last.path, folder / PRETRAIN if was_direct else None),
    )


def _direct(
    pretrained: Mapping[str, Any] | None, tested: Mapping[str, Any]
) -> Mapping[str, int] | None:
    """Counts of the pretrained model as it is, where it was tested on the same task."""
    counts, final = (pretrained or {}).get("evaluation"), tested.get("evaluation")
    if counts is None or final is None or counts["num_images"] != final["num_images"]:
        return None
    spaces = [phase.get("evaluated_space") for phase in (pretrained, tested)]
    return None if None not in spaces and spaces[0] != spaces[1] else counts


def _early_transfer(arm: str, recipe: pathlib.Path) -> str:
    """Name of a transfer from before transfers had names."""
    if arm == BASELINE:
        return STRAIGHT
    content = read_json(recipe) if recipe.is_file() else {}
    return LINEAR_PROBE if content.get("freeze_backbone") else NEW
