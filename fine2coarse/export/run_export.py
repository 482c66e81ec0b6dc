"""A finished run as a SavedModel folder that every TensorFlow user can load and train."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

import fine2coarse
from fine2coarse.export.export_folder import ExportFolder, check_free, write_archive
from fine2coarse.export.model_card import (
    CARD,
    LABELS,
    RECIPE,
    CardFacts,
    Terms,
    kaggle_metadata,
    labels_csv,
    model_card,
)
from fine2coarse.export.reusable import ImageInput, exportable, reusable_model
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import takes_any_image_size
from fine2coarse.runs.classifiers import load_classifier, trained_space
from fine2coarse.runs.phase_folder import EMA_WEIGHTS, PhaseFolder, RunError

_NON_COMMERCIAL = "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)"
_TERMS: Mapping[str, Terms] = {
    "demo": Terms(
        "The images are drawn by fine2coarse itself (Apache License 2.0); no photograph is in "
        "them.",
        "Apache 2.0",
    ),
    "inat2021": Terms(
        "iNaturalist 2021 (github.com/visipedia/inat_comp): for non-commercial research and "
        "education alone; each photograph stays under the licence that its author chose.",
        _NON_COMMERCIAL,
    ),
    "imagenet21k": Terms(
        "ImageNet (image-net.org/download): for non-commercial research and education alone, "
        "under ImageNet's terms of access; the photographs belong to their authors.",
        _NON_COMMERCIAL,
    ),
}
_UNKNOWN_TERMS = Terms(
    "Not known to fine2coarse: whoever passes this model on states the terms of the images that "
    "it was trained on here."
)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
      with_head: logits of the run's classes rather than feature vectors.
      ema: the moving average of the weights; None takes it where the run has one.
      archive: also write the folder as a .tar.gz, as TF Hub serves it.
      data_terms: terms of the images, for the card; empty takes what is known of the dataset.
      kaggle_owner: who will upload it to Kaggle Models.
      kaggle_license: one of Kaggle's licence names.
    """

    with_head: bool = False
    ema: bool | None = None
    archive: bool = False
    data_terms: str = ""
    kaggle_owner: str = ""
    kaggle_license: str = ""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
      folder: the SavedModel and what lies beside it.
      facts: what its card tells.
      num_bytes: size of the folder.
      num_weight_bytes: of the weights in float32.
      archive: the .tar.gz, where wanted.
    """

    folder: pathlib.Path
    facts: CardFacts
    num_bytes: int
    num_weight_bytes: int
    archive: pathlib.Path | None


def export_run(run: pathlib.Path, out: pathlib.Path, options: ExportOptions) -> Exported:
    """Exports a finished run. The folder does not load before all of it is written.

    Args:
      run: folder of the run.
      out: folder to make.
      options: how.

    Raises:
      RunError: where the run is not finished, or lacks what the options ask for.
      HubError: where `out` holds something already.
    """
    folder = PhaseFolder(run)
    recipe, result = folder.recipe(), folder.result()
    space = trained_space(folder)
    has_ema = (folder.path / EMA_WEIGHTS).is_file()
    ema = has_ema if options.ema is None else options.ema
    if ema and not has_ema:
        raise RunError(f"{run}: no {EMA_WEIGHTS}; this run kept no average, export without --ema")
    check_free(out)
    with exportable():
        model = load_classifier(run, weights="ema" if ema else "last", any_image_size=True)
    any_size = takes_any_image_size(model.backbone)
    facts = CardFacts(
        recipe=recipe,
        result=result,
        num_features=model.backbone.output_shape[-1],
        any_image_size=any_size,
        with_head=options.with_head,
        averaged=ema,
        terms=_terms(recipe, options),
        versions={
            "fine2coarse": fine2coarse.__version__,
            "TensorFlow": tf.__version__,
            "Keras": keras.__version__,
        },
    )
    export = ExportFolder(out)
    _write_papers(export, facts, options, space, [w.path for w in model.backbone.weights])
    export.write_saved_model(
        reusable_model(
            model.backbone,
            ImageInput(recipe["backbone"]["image_size_px"], any_size),
            model.head if options.with_head else None,
            space.class_names if options.with_head else (),
            recipe["phase"].get("loss", "softmax"),
        )
    )
    exported = model if options.with_head else model.backbone
    return Exported(
        folder=out,
        facts=facts,
        num_bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        num_weight_bytes=4 * exported.count_params(),
        archive=write_archive(out) if options.archive else None,
    )


def _terms(recipe: Mapping, options: ExportOptions) -> Terms:
    name = recipe.get("dataset_name", "").split("/")[0]
    known = _TERMS.get(name, _UNKNOWN_TERMS)
    return Terms(
        options.data_terms or known.text,
        options.kaggle_license or ("" if options.data_terms else known.kaggle_license),
    )


def _write_papers(
    export: ExportFolder,
    facts: CardFacts,
    options: ExportOptions,
    space: LabelSpace,
    backbone_weights: Sequence[str],
) -> None:
    card = model_card(facts)
    told = {
        "with_head": facts.with_head,
        "averaged_weights": facts.averaged,
        "any_image_size": facts.any_image_size,
        "backbone_weights": list(backbone_weights),
        "versions": dict(facts.versions),
    }
    export.write_text(CARD, card)
    export.write_text(LABELS, labels_csv(space.class_ids, space.class_names))
    export.write_text(RECIPE, _json({**facts.recipe, "export": told}))
    for name, content in kaggle_metadata(facts, card, options.kaggle_owner).items():
        export.write_text(name, _json(content))


def _json(content: Mapping) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
