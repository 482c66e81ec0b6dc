"""Classifiers from what a run folder says of them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from fine2coarse.experiment.run_folder import EMA_WEIGHTS, WEIGHTS, RunError, RunFolder
from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.models import (
    BackboneSpec,
    Classifier,
    build_backbone,
    open_image_size,
    takes_any_image_size,
)


def build_classifier(
    spec: BackboneSpec | SavedModelBackbone,
    num_classes: int,
    *,
    seed: int,
    any_image_size: bool = False,
) -> Classifier:
    """A classifier with fresh weights, or a SavedModel's where that is the backbone.

    Args:
      spec: which backbone.
      num_classes: logits of the head.
      seed: of the fresh weights.
      any_image_size: leave height and width open, where the backbone allows.
    """
    if isinstance(spec, SavedModelBackbone):
        backbone = spec.build()
    else:
        backbone = build_backbone(spec, seed=seed)
    if any_image_size and takes_any_image_size(backbone):
        backbone = open_image_size(backbone)
    return Classifier(spec, num_classes, seed=seed, backbone=backbone)


def load_classifier(
    path: pathlib.Path, *, ema: bool = False, any_image_size: bool = False
) -> Classifier:
    """The classifier of a finished run, trained weights and all.

    Args:
      path: folder of the run.
      ema: the moving average of the weights in place of the last ones.
      any_image_size: leave height and width open, where the backbone allows.

    Raises:
      RunError: where there is no finished run, or no average.
    """
    folder = RunFolder(path)
    folder.result()
    weights = folder.path / (EMA_WEIGHTS if ema else WEIGHTS)
    if not weights.is_file():
        raise RunError(f"{path}: no {weights.name}; this run kept no such weights")
    recipe = folder.recipe()
    model = build_classifier(
        backbone_spec(recipe),
        recipe["label_space"]["num_classes"],
        seed=0,
        any_image_size=any_image_size,
    )
    model.load_weights(weights)
    return model


def backbone_spec(recipe: Mapping[str, Any]) -> BackboneSpec | SavedModelBackbone:
    """Which backbone a `recipe.json` names."""
    backbone = recipe["backbone"]
    return SavedModelBackbone(**backbone) if "handle" in backbone else BackboneSpec(**backbone)
