"""Classifiers as the folders of phase runs describe them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import (
    BackboneSpec,
    Classifier,
    Summation,
    build_backbone,
    open_image_size,
    takes_any_image_size,
)
from fine2coarse.runs.phase_folder import (
    BRANCH_WEIGHTS,
    CLASS_MAP,
    EMA_WEIGHTS,
    LABEL_SPACE,
    WEIGHTS,
    PhaseFolder,
    RunError,
)


def build_classifier(
    spec: BackboneSpec | SavedModelBackbone,
    num_classes: int,
    *,
    seed: int,
    head_bias: float = 0.0,
    any_image_size: bool = False,
    summation: Summation | None = None,
) -> Classifier:
    """A classifier with fresh weights, or a SavedModel's where that is the backbone.

    Args:
      spec: which backbone.
      num_classes: logits of the head, before they are summed.
      seed: of the fresh weights.
      head_bias: that each class starts with.
      any_image_size: leave height and width open, where the backbone allows.
      summation: from the head's classes to a target's; None where these are the same.
    """
    if isinstance(spec, SavedModelBackbone):
        backbone = spec.build()
    else:
        backbone = build_backbone(spec, seed=seed)
    if any_image_size and takes_any_image_size(backbone):
        backbone = open_image_size(backbone)
    return Classifier(
        spec,
        num_classes,
        seed=seed,
        head_bias=head_bias,
        backbone=backbone,
        summation=summation,
    )


def load_classifier(
    path: pathlib.Path, *, weights: str = "auto", any_image_size: bool = False
) -> Classifier:
    """The classifier of a finished phase run, trained weights and all.

    Args:
      path: its folder.
      weights: 'last', 'ema' (the moving average), 'auto' (the average where the run kept one) or
        'branch' (those that other runs branch off from).
      any_image_size: leave height and width open, where the backbone allows.

    Raises:
      RunError: where there is no finished run, or no average.
    """
    folder = PhaseFolder(path)
    folder.result()
    has_average = (folder.path / EMA_WEIGHTS).is_file()
    if weights == "ema" and not has_average:
        raise RunError(f"{path}: no {EMA_WEIGHTS}; this run kept no moving average")
    use_average = weights == "ema" or (weights == "auto" and has_average)
    name = EMA_WEIGHTS if use_average else WEIGHTS
    if weights == "branch":
        name = BRANCH_WEIGHTS
        if not (folder.path / name).is_file():
            raise RunError(f"{path}: no {name}; this run was not made to branch off from")
    recipe = folder.recipe()
    summation = read_summation(folder)
    num_classes = recipe["label_space"]["num_classes"]
    model = build_classifier(
        backbone_spec(recipe),
        num_classes if summation is None else summation.class_map.num_classes,
        seed=0,
        any_image_size=any_image_size,
        summation=summation,
    )
    model.load_weights(folder.path / name)
    return model


def read_summation(folder: PhaseFolder) -> Summation | None:
    """How a run's head sums its classes into its label space; None where it does not.

    Raises:
      RunError: where the class map is not the one that the recipe names.
      LabelSpaceError: where it is missing or damaged.
    """
    told = folder.recipe().get("head", {}).get("summed")
    if told is None:
        return None
    path = folder.path / CLASS_MAP
    class_map = ClassMap.load(path)
    if class_map.fingerprint != told["class_map"]:
        raise RunError(f"{path} is not the class map of {folder.path}'s recipe")
    return Summation(class_map, told["fine_loss"], told["loss"])


def trained_space(folder: PhaseFolder) -> LabelSpace:
    """The label space whose classes a phase run's model gives, in the order of its logits.

    Raises:
      RunError: where the file is missing, or another than the recipe names.
      LabelSpaceError: where it is damaged.
    """
    path = folder.path / LABEL_SPACE
    if not path.is_file():
        raise RunError(
            f"{folder.path}: no {LABEL_SPACE}, which names the classes; the command that made "
            "this run writes it when it is given again"
        )
    space = LabelSpace.load(path)
    if space.fingerprint != folder.recipe()["label_space"]["fingerprint"]:
        raise RunError(f"{path} is not the label space of {folder.path}'s recipe")
    return space


def backbone_spec(recipe: Mapping[str, Any]) -> BackboneSpec | SavedModelBackbone:
    """Which backbone a `recipe.json` names."""
    backbone = recipe["backbone"]
    return SavedModelBackbone(**backbone) if "handle" in backbone else BackboneSpec(**backbone)
