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
    head_bias: float = 0.0,
    any_image_size: bool = False,
) -> Classifier:
    """A classifier with fresh weights, or a SavedModel's where that is the backbone.

    Args:
      spec: which backbone.
      num_classes: logits of the head.
      seed: of the fresh weights.
      head_bias: that each class starts with.
      any_image_size: leave height and width open, where the backbone allows.
    """
    if isinstance(spec, SavedModelBackbone):
        backbone = spec.build()
    else:
        backbone = build_backbone(spec, seed=seed)
    if any_image_size and takes_any_image_size(backbone):
        backbone = open_image_size(backbone)
    return Classifier(spec, num_classes, seed=seed, head_bias=head_bias, backbone=backbone)


def load_classifier(
    path: pathlib.Path, *, weights: str = "auto", any_image_size: bool = False
) -> Classifier:
    """The classifier of a finished run, trained weights and all.

    Args:
      path: folder of the run.
      weights: 'last', 'ema' (the moving average) or 'auto': the average where the run kept one.
      any_image_size: leave height and width open, where the backbone allows.

    Raises:
      RunError: where there is no finished run, or no average.
    """
    folder = RunFolder(path)
    folder.result()
    has_average = (folder.path / EMA_WEIGHTS).is_file()
    if weights == "ema" and not has_average:
        raise RunError(f"{path}: no {EMA_WEIGHTS}; this run kept no moving average")
    use_average = weights == "ema" or (weights == "auto" and has_average)
    recipe = folder.recipe()
    model = build_classifier(
        backbone_spec(recipe),
        recipe["label_space"]["num_classes"],
        seed=0,
        any_image_size=any_image_size,
    )
    model.load_weights(folder.path / (EMA_WEIGHTS if use_average else WEIGHTS))
    return model


def backbone_spec(recipe: Mapping[str, Any]) -> BackboneSpec | SavedModelBackbone:
    """Which backbone a `recipe.json` names."""
    backbone = recipe["backbone"]
    return SavedModelBackbone(**backbone) if "handle" in backbone else BackboneSpec(**backbone)
