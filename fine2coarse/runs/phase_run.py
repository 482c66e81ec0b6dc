"""What one phase run is: labels, images, model, phase, and where its weights come from."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from fine2coarse.errors import UsageError
from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.input.examples import Examples
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import BackboneSpec, Summation
from fine2coarse.recipes.names import LINEAR_PROBE, NEW
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.recipes.transfer_spec import AVERAGED, FINETUNE, NONE
from fine2coarse.runs.starting_weights import describe_start


@dataclasses.dataclass(frozen=True, eq=False)
class PhaseRun:
    """One phase, or one trial of it: what is trained, on which images, from which weights.

    Attributes:
      purpose: 'pretrain', 'transfer' or 'baseline'; picks the stream of random numbers.
      space: labels to train on.
      phase: how to train.
      backbone: which model.
      seed: of weights, order and augmentation.
      precision: 'float32' or 'mixed_bfloat16'.
      train: images to train on.
      evaluate: images to evaluate on; None for pretraining, whose labels they may not have.
      start_from: folder of the finished phase run, or of the export, whose backbone to start from;
        None for scratch, or a SavedModel's own weights.
      head: where the head's first weights come from: 'new', or from the head of `start_from`:
        'kept' as it is, 'summed' by `summation`, or 'averaged' by `class_map`.
      mode: 'finetune' trains all weights; 'linear_probe' the head alone, on features that the
        frozen backbone gives for each image's central crop, encoded once, and nothing is augmented
        then; 'none' trains nothing.
      class_map: from the classes of the pretrained head (where `target` is given: of `space`) to
        the target's; None where it is not needed.
      summation: how the head's classes are summed into `space`'s; None where these are the same.
      from_branch: start from the weights of `start_from` at its `branch_step`.
      dataset_fingerprint: of the prepared images.
      start: what else the backbone may start from, where `start_from` is None.
      target: the coarse task, where `space` is another one: `evaluate` is then evaluated by the
        probabilities of `space`, summed into the target's classes by `class_map`.
      held_out: training images that nothing is trained on, evaluated like the test images, to
        choose transfers on; None where none are.
      test_crops: evaluate by the mean probability over as many random crops of each image
        (test-time augmentation); 0 for the central crop.
      dataset_name: of the prepared images.
      held_out_share: of the training images, which `train` is without.
      branch_step: step whose weights are kept besides (`BRANCH_WEIGHTS`), from which trials
        may go on; 0 for none.
      packed_pixels: how pixels from a pack differ from the stored ones, e.g. 'squares 64 px'; empty
        where none does.
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
    head: str = NEW
    mode: str = FINETUNE
    class_map: ClassMap | None = None
    summation: Summation | None = None
    from_branch: bool = False
    start: StartSpec = StartSpec()
    target: LabelSpace | None = None
    held_out: Examples | None = None
    test_crops: int = 0
    dataset_name: str = ""
    held_out_share: float = 0.0
    branch_step: int = 0
    packed_pixels: str = ""

    def __post_init__(self) -> None:
        """Checks what does not go together."""
        if self.mode == LINEAR_PROBE and self.evaluate is not None and self.test_crops:
            raise UsageError("a linear probe sees central crops alone; test_crops must be 0")
        if self.head != NEW and self.start_from is None:
            raise UsageError(f"head {self.head!r} needs a run to start from")
        if self.target is not None and self.class_map is None:
            raise UsageError("a target needs a class map from the label space trained on")

    @property
    def origin(self) -> StartSpec:
        """What the backbone starts from."""
        if self.start_from is None:
            return self.start
        return StartSpec("run", str(self.start_from))

    def recipe(self) -> dict[str, Any]:
        """What it is, as plain values: all that determines its numbers, but for rounding.

        `recipe.json` holds it, and beside it the environment: see `PhaseFolder.bind`.
        """
        return self.own_recipe() | {"start_from": describe_start(self.origin)}

    def own_recipe(self) -> dict[str, Any]:
        """The same without what it starts from."""
        recipe = {
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
            "freeze_backbone": self.mode == LINEAR_PROBE,
            "target": None if self.target is None else self.target.fingerprint,
            "test_crops": self.test_crops,
        }
        # Left out where they are not used, as in folders of earlier versions.
        optional = {
            "held_out_share": self.held_out_share,
            "branch_step": self.branch_step,
            "from_branch": self.from_branch,
            "stream_window_images": self.train.stream_window_images,
            "packed_pixels": self.packed_pixels,
            "head": self._head_recipe(),
            "mode": NONE if self.mode == NONE else "",
        }
        return recipe | {name: value for name, value in optional.items() if value}

    def _head_recipe(self) -> dict[str, Any]:
        if self.head == NEW:
            return {}
        found: dict[str, Any] = {"kind": self.head}
        if self.head == AVERAGED:
            found["class_map"] = self.class_map.fingerprint
        if self.summation is not None:
            found["summed"] = {
                "num_classes": self.summation.class_map.num_classes,
                "class_map": self.summation.class_map.fingerprint,
                "fine_loss": self.summation.fine_loss,
                "loss": self.summation.loss,
            }
        return found
