"""What lies beside an exported SavedModel: model card, labels, Kaggle's metadata."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

CARD, RECIPE, LABELS = "README.md", "recipe.json", "labels.csv"
KAGGLE_MODEL, KAGGLE_INSTANCE = "model-metadata.json", "model-instance-metadata.json"
_WHO = {"num": "all"}
# The uploader refuses both: the first as its own mark of what is still to be told.
_NO_OWNER, _NO_LICENSE = "INSERT_OWNER_SLUG_HERE", ""


@dataclasses.dataclass(frozen=True)
class Terms:
    """Terms of a dataset, and the licence under which a model trained on it may go to Kaggle.

    Attributes:
      text: one sentence or more for the card.
      kaggle_license: one of Kaggle's licence names; its uploader refuses an empty one.
    """

    text: str
    kaggle_license: str = ""


@dataclasses.dataclass(frozen=True)
class CardFacts:
    """What the card tells.

    Attributes:
      recipe: the run's `recipe.json`.
      result: the run's `result.json`.
      num_features: length of a feature vector.
      any_image_size: whether every height and width is taken.
      with_head: whether the SavedModel gives logits, not features.
      averaged: whether the weights are the run's moving average (EMA).
      terms: of the dataset.
      versions: library → version that exported.
    """

    recipe: Mapping[str, Any]
    result: Mapping[str, Any]
    num_features: int
    any_image_size: bool
    with_head: bool
    averaged: bool
    terms: Terms
    versions: Mapping[str, str]

    @property
    def backbone_name(self) -> str:
        """Of the backbone; 'saved-model' where it came as one."""
        return self.recipe["backbone"].get("name", "saved-model")

    @property
    def space_name(self) -> str:
        """Of the label space."""
        return self.recipe["label_space"]["name"]

    @property
    def output(self) -> str:
        """What `__call__` returns."""
        if self.with_head:
            return f"logits float32 [batch, {self.recipe['label_space']['num_classes']}]"
        return f"feature vectors float32 [batch, {self.num_features}]"


def model_card(facts: CardFacts) -> str:
    """The card, in Markdown."""
    recipe, space = facts.recipe, facts.recipe["label_space"]
    what = "classifier" if facts.with_head else "feature vector"
    size = recipe["backbone"]["image_size_px"]
    sizes = "any height and width" if facts.any_image_size else f"{size} × {size} px only"
    return f"""# {facts.backbone_name} trained on {facts.space_name}: {what}

A reusable TensorFlow 2 SavedModel, exported by fine2coarse.

| | |
| --- | --- |
| input | RGB images float32 [batch, height, width, 3] in [0, 1]; {sizes}, trained at {size} px |
| output | {facts.output} |
| backbone | {_inline(recipe["backbone"])} |
| dataset | {_dataset(recipe)} |
| label space | {facts.space_name}, {space["num_classes"]} classes |
| label space fingerprint | `{space["fingerprint"]}` |
| label source | {_inline(space["source"])} |
| phase | {recipe["purpose"]}, seed {recipe["seed"]} |
| precision | trained in {recipe["precision"]}, stored in float32 |
| weights | {"moving average (EMA) of the run's" if facts.averaged else "as training ended"} |
| exported with | {", ".join(f"{name} {version}" for name, version in facts.versions.items())} |

## Metrics

{_metrics(facts)}

## Load it

```python
{usage(facts, ".")}
```

Fine-tune it in Keras 3 with `fine2coarse.hub.HubLayer(folder, trainable=True)`, in Keras 2
(`tf_keras`) with `tensorflow_hub.KerasLayer(folder, trainable=True)`.

Signatures for serving: `serving_default` takes encoded images (`image_bytes`, string [batch]: JPEG,
PNG, GIF, BMP or WebP, shown upright, transparency on white; the largest central square, resized
to {size} px){_signatures(facts)}. Images that you resize yourself, by another filter or without
that square, give other outputs, and no error.

## Recipe

The whole is in `{RECIPE}`.

```json
{json.dumps(recipe["phase"], indent=1, ensure_ascii=False)}
```

## Terms of the data

{facts.terms.text}
"""


def usage(facts: CardFacts, folder: str) -> str:
    """Five lines of Python that load the SavedModel and run it."""
    size = facts.recipe["backbone"]["image_size_px"]
    found = "logits" if facts.with_head else "features"
    return (
        "import tensorflow as tf\n"
        "import tensorflow_hub as hub\n"
        f'model = hub.load("{folder}")  # this folder\n'
        f"{found} = model(tf.zeros([1, {size}, {size}, 3]))  # images in [0, 1]\n"
        f"print({found}.shape)"
    )


def labels_csv(class_ids: Sequence[str], class_names: Sequence[str]) -> str:
    """One row a class: its index among the logits, id and name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class_index", "class_id", "class_name"])
    for index, (class_id, name) in enumerate(zip(class_ids, class_names, strict=True)):
        writer.writerow([index, class_id, name])
    return text.getvalue()


def kaggle_metadata(
    facts: CardFacts, card: str, owner: str = "", license_name: str = ""
) -> dict[str, dict[str, Any]]:
    """The two files that Kaggle's uploader reads, as file name → content.

    Fields as in github.com/Kaggle/kaggle-api, docs/models_metadata.md, and as kaggle 2.2.5 checks
    them. Without an owner or a licence it refuses them, so that nobody publishes by mistake.
    """
    owner = owner or _NO_OWNER
    kind = "classification" if facts.with_head else "feature-vector"
    model = {
        "ownerSlug": owner,
        "title": f"fine2coarse {facts.backbone_name}",
        "slug": slug(f"fine2coarse-{facts.backbone_name}"),
        "subtitle": f"Trained on labels of {facts.recipe.get('dataset_name') or 'a dataset'}",
        "isPrivate": True,
        "description": card,
        "publishTime": "",
        "provenanceSources": "",
    }
    instance = {
        "ownerSlug": owner,
        "modelSlug": model["slug"],
        "instanceSlug": slug(f"{facts.space_name}-{kind}"),
        "framework": "tensorFlow2",
        "overview": f"{facts.backbone_name} trained on {facts.space_name}: {facts.output}",
        "usage": f"```python\n{usage(facts, '${PATH}')}\n```\n",
        "licenseName": license_name or facts.terms.kaggle_license or _NO_LICENSE,
        "fineTunable": True,
        "trainingData": [facts.recipe["dataset_name"]] if facts.recipe.get("dataset_name") else [],
        "modelInstanceType": "Unspecified",
        "baseModelInstance": "",
        "externalBaseModelUrl": "",
    }
    return {KAGGLE_MODEL: model, KAGGLE_INSTANCE: instance}


def slug(text: str) -> str:
    """Small letters, digits and single hyphens, as Kaggle's addresses have them."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _dataset(recipe: Mapping[str, Any]) -> str:
    name = recipe.get("dataset_name") or "unnamed"
    return f"{name}, fingerprint `{recipe['dataset_fingerprint']}`"


def _inline(content: Mapping[str, Any]) -> str:
    pairs = (f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())
    return ", ".join(pairs).replace("|", "\\|") or "not told"


def _metrics(facts: CardFacts) -> str:
    result = facts.result
    counts = result.get("evaluation") or {}
    keys = [name.removesuffix("_wrong") for name in counts if name.endswith("_wrong")]
    rows = [
        (_WHO.get(key, key), "top-1 error", counts[f"{key}_wrong"], counts[f"{key}_images"])
        for key in keys
        if counts.get(f"{key}_images")
    ]
    more = result.get("metrics") or {}
    if "num_top5" in more:
        rows.append(("all", "top-5 accuracy", more["num_top5"], more["num_images"]))
    if result["last_loss"] is None:
        seen = "Nothing was trained after the pretraining, whose recipe is `start_from`."
    else:
        loss = f"{result['last_loss']:.4f}"
        seen = f"Training saw {result['images_seen']:,} images; last loss {loss}."
    if not rows:
        return f"This run was not evaluated. {seen}"
    lines = ["| test images | metric | images | share |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {who} | {what} | {n} / {of} | {100 * n / of:.2f} % |" for who, what, n, of in rows
    ]
    return "\n".join([*lines, "", *_how_evaluated(facts), seen])


def _how_evaluated(facts: CardFacts) -> list[str]:
    """Sentences on what the numbers are of, where they are not of this SavedModel's own outputs."""
    evaluated_by = facts.result.get("evaluated_space", facts.space_name)
    averaged = facts.result.get("evaluated_weights", "last") == "ema"
    told = []
    if evaluated_by != facts.space_name:
        told.append(
            f"Evaluated on the classes of {evaluated_by}: the probabilities of "
            f"{facts.space_name}'s classes were summed up into them."
        )
    if averaged != facts.averaged:
        theirs = "the moving average" if averaged else "the weights as training ended"
        told.append(f"The numbers are those of {theirs}, which are not the weights in this folder.")
    return told


def _signatures(facts: CardFacts) -> str:
    more = " and `image_classification`" if facts.with_head else ""
    return f";\n`image_feature_vector`{more} take `images` as above and return `default`"
