"""What one run is: labels, images, model, phase and where its weights come from."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from fine2coarse.data.examples import Examples
from fine2coarse.experiment.start import StartSpec
from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import BackboneSpec
from fine2coarse.training.spec import PhaseSpec


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run does.

    Attributes:
      purpose: 'pretrain', 'transfer' or 'baseline'; picks the stream of random numbers.
      space: labels to train on.
      phase: how to train.
      backbone: which model.
      seed: of weights, order and augmentation.
      precision: 'float32' or 'mixed_bfloat16'.
      train: images to train on.
      evaluate: images to evaluate on; None for pretraining, whose labels they may not have.
      start_from: folder of the finished or exported run whose backbone to start from; None
        for scratch, or a SavedModel's own weights.
      freeze_backbone: train the head alone on features that the frozen backbone gives for each
        image's central crop, encoded once (linear probe); nothing is augmented then.
      dataset_fingerprint: of the prepared images.
      start: what else the backbone may start from, where `start_from` is None.
      target: the coarse task, where `space` is another one: `evaluate` is then judged by the
        probabilities of `space`, summed up into the target's classes (coarse-from-fine).
      test_crops: evaluate by the mean probability over as many random crops of each image
        (test-time augmentation); 0 for the central crop.
      dataset_name: of the prepared images.
    """

    purpose: str
    space: LabelSpace
    phase: PhaseSpec
    backbone: BackboneSpec | SavedModelBackbone
    seed: int
    precision: str
    train: Examples
    evaluate: Examples | None
    dataset_fingerprint: str
    start_from: pathlib.Path | None = None
    freeze_backbone: bool = False
    start: StartSpec = StartSpec()
    target: LabelSpace | None = None
    test_crops: int = 0
    dataset_name: str = ""

    def __post_init__(self) -> None:
        """Checks what does not go together."""
        if self.freeze_backbone and self.test_crops:
            raise ValueError("a linear probe sees central crops alone; test_crops must be 0")

    @property
    def origin(self) -> StartSpec:
        """What the backbone starts from."""
        if self.start_from is None:
            return self.start
        return StartSpec("run", str(self.start_from))

    def recipe(self) -> dict[str, Any]:
        """What `recipe.json` holds: all that determines the numbers, as plain values."""
        return {
            "purpose": self.purpose,
            "dataset_name": self.dataset_name,
            "dataset_fingerprint": self.dataset_fingerprint,
            "label_space": {
                "name": self.space.name,
                "num_classes": self.space.num_classes,
                "fingerprint": self.space.fingerprint,
                "source": dict(self.space.source),
            },
            "backbone": dataclasses.asdict(self.backbone),
            "phase": dataclasses.asdict(self.phase),
            "seed": self.seed,
            "precision": self.precision,
            "start_from": self.origin.recipe(),
            "freeze_backbone": self.freeze_backbone,
            "target": None if self.target is None else self.target.fingerprint,
            "test_crops": self.test_crops,
        }
