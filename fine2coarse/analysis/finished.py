"""A finished run in numbers: its phases, the transfers that were tried, and what all of it cost."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from fine2coarse.recipes.names import BASELINE, LINEAR_PROBE, NEW, PRETRAIN, STRAIGHT
from fine2coarse.runs.phase_folder import RECIPE, PhaseFolder, last_phase, read_json


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
class RunResults:
    """What the `result.json` files of a finished run say.

    Attributes:
      arm: its name.
      pretrain: of the pretraining; None for the baseline.
      final: of the phase that was tested last.
      transfer: name of the transfer that `final` is of; the baseline's last phase has one too.
    """

    arm: str
    pretrain: Mapping[str, Any] | None
    final: Mapping[str, Any]
    transfer: str

    @classmethod
    def of(
        cls,
        arm: str,
        pretrain: Mapping[str, Any] | None,
        final: Mapping[str, Any],
        recipe: Mapping[str, Any] | None = None,
    ) -> RunResults:
        """From the results of both phases and the last one's recipe, which early runs need."""
        return cls(arm, pretrain, final, final.get("transfer") or _early_transfer(arm, recipe))

    @classmethod
    def read(cls, folder: pathlib.Path, arm: str) -> RunResults:
        """Reads a finished run's folder.

        Raises:
          RunError: where a phase is not finished.
        """
        last = PhaseFolder(folder / last_phase(arm))
        recipe = last.path / RECIPE
        return cls.of(
            arm,
            None if arm == BASELINE else PhaseFolder(folder / PRETRAIN).result(),
            last.result(),
            read_json(recipe) if recipe.is_file() else None,
        )

    @property
    def num_classes(self) -> int:
        """Of the label space that it pretrained on; the target's for the baseline."""
        return (self.pretrain or self.final)["num_classes"]

    @property
    def candidates(self) -> Mapping[str, Mapping[str, Any]]:
        """Name → result of each transfer that was tried, in order; empty where one was fixed."""
        return self.final.get("candidates") or {}

    @property
    def transfers(self) -> list[Mapping[str, Any]]:
        """Results of every transfer that was trained, or of the baseline's trainings."""
        return list(self.candidates.values()) or [self.final]

    @property
    def trained(self) -> list[Mapping[str, Any]]:
        """Results of all that was trained: the pretraining, then every transfer."""
        return [*([] if self.pretrain is None else [self.pretrain]), *self.transfers]

    @property
    def cost(self) -> Cost:
        """Of all that was trained."""
        return Cost.of(self.trained)

    @property
    def direct(self) -> Mapping[str, int] | None:
        """Counts of the pretrained model used as it is, probabilities summed into the target's.

        None for the baseline, and where it was not tested on the target's images and classes.
        """
        counts = (self.pretrain or {}).get("evaluation")
        final = self.final.get("evaluation")
        if counts is None or final is None or counts["num_images"] != final["num_images"]:
            return None
        spaces = [phase.get("evaluated_space") for phase in (self.pretrain, self.final)]
        return None if None not in spaces and spaces[0] != spaces[1] else counts

    @property
    def direct_argmax(self) -> Mapping[str, int] | None:
        """Counts of the pretrained model's largest class, mapped to the target; None as above."""
        return None if self.direct is None else self.pretrain.get("direct_argmax")


def _early_transfer(arm: str, recipe: Mapping[str, Any] | None) -> str:
    """Name of a transfer from before transfers had names."""
    if arm == BASELINE:
        return STRAIGHT
    return LINEAR_PROBE if (recipe or {}).get("freeze_backbone") else NEW
