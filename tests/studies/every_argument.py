"""Recipes that between them set every documented argument of a study, and what they leave out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from fine2coarse.labels.spec import SOURCES
from fine2coarse.recipes.phase_spec import (
    CROPS,
    DECAYS,
    FINAL_WEIGHTS,
    LOSS_NAMES,
    OPTIMIZERS,
    PRECISIONS,
)
from fine2coarse.recipes.recipe import CANDIDATES, STORAGES, Recipe
from fine2coarse.recipes.transfer_spec import AUTO, HEADS, MODES
from fine2coarse.schema import records_within

# Field → all values that it may have; each must occur.
CHOICES = {
    "OptimizerSpec.name": OPTIMIZERS,
    "OptimizerSpec.decay": DECAYS,
    "PhaseSpec.loss": LOSS_NAMES,
    "PhaseSpec.final_weights": FINAL_WEIGHTS,
    "AugmentSpec.crop": CROPS,
    "Recipe.precision": PRECISIONS,
    "Recipe.transfer_candidates": CANDIDATES,
    "Recipe.transfer_head": (AUTO, *HEADS),
    "Recipe.transfer_mode": (AUTO, *MODES),
    "TransferSpec.head": HEADS,
    "TransferSpec.mode": MODES,
    "DatasetSpec.storage": STORAGES,
}
_LEVELS = {name: {"source": "level", "options": {"level": name}} for name in ("fine", "coarse")}


def base(own: str) -> dict[str, Any]:
    """A recipe with every argument at its default, on the images in a folder."""
    phase = {"total_steps": 1, "batch_size": 4}
    return {
        "dataset": {"name": "folder", "options": {"source": own}},
        "target": _LEVELS["coarse"],
        "arms": {"arm": _LEVELS["fine"]},
        "seeds": [0],
        "backbone": {"name": "mlp_B_2-Wi_64", "image_size_px": 8},
        "pretrain": phase,
        "transfer": phase,
    }


def cases(own: str, other: str, finished: str) -> dict[str, dict[str, Any]]:
    """Name → what differs from `base`.

    Args:
      own: folder of images with a taxonomy.
      other: folder of images of the same classes, with the split `val`.
      finished: folder of a finished run of the base recipe.
    """
    elsewhere = {"name": "folder", "options": {"source": other, "flat": True}, "split": "val"}
    adamw = {
        "name": "adamw", "learning_rate": 1e-3, "beta_1": 0.8, "beta_2": 0.95,
        "weight_decay": 0.1, "warmup_steps": 1, "decay": "linear", "max_gradient_norm": 0.5,
        "ema_decay": 0.9, "backbone_rate_factor": 0.5,
    }  # fmt: skip
    often = {"log_every_steps": 1, "checkpoint_every_steps": 1, "checkpoints_to_keep": 1}
    return {
        "adamw, averaged, bfloat16, dropout": {
            "precision": "mixed_bfloat16",
            "seeds": [1],
            "backbone": {"dropout_rate": 0.1},
            "pretrain": {"optimizer": adamw},
            "transfer": {"optimizer": adamw},
        },
        "lion, sigmoid, smoothed, mixed, in parts": {
            "pretrain": {
                "total_steps": 2, "loss": "sigmoid", "label_smoothing": 0.1, "mixup": 0.2,
                "accumulate_steps": 2, "steps_per_call": 1, **often,
                "optimizer": {"name": "lion", "learning_rate": 1e-4, "decay": "constant"},
            },
            "dataset": {"storage": "memory"},
        },
        "the best of several transfers, the best weights, crops at test time": {
            "test_crops": 2,
            "transfer_validation_share": 0.2,
            "transfer_choices": {
                "plain": {"optimizer": {"momentum": 0.0}},
                "small": {"head": "new", "learning_rate_factor": 0.5},
                "mean": {"head": "averaged", "mode": "none"},
                "first_the_head": {"mode": "probe_then_finetune"},
            },
            "pretrain": {
                "total_steps": 2, "batch_size": 8, "validation_share": 0.3,
                "validate_every_steps": 1, "final_weights": "best",
                "augment": {"crop": "shift", "shift_px": 1, "flip": False},
            },
            "transfer": {"total_steps": 2, "validation_share": 0.3, "final_weights": "best"},
        },
        "one transfer, a head of means": {
            "transfer_candidates": "off", "transfer_head": "averaged", "transfer_mode": "finetune",
        },
        "a new head, probed, then fine-tuned": {
            "transfer_head": "new", "transfer_mode": "probe_then_finetune",
            "transfer": {"total_steps": 2},
        },
        "nothing is trained, images are streamed": {
            "transfer_head": "summed", "transfer_mode": "none",
            "dataset": {"storage": "stream", "stream_window_images": 3},
        },
        "images on the devices, shifted": {
            "dataset": {"storage": "device"},
            "pretrain": {"augment": {"crop": "shift", "shift_px": 2}},
        },
        "probes are tried": {"transfer_choices": {"a": {"mode": "linear_probe"}, "b": {}}},
        "a probe of images on disk, other splits": {
            "transfer_mode": "linear_probe",
            "dataset": {"storage": "disk", "train_split": "test", "eval_split": "train"},
            "pretrain": {"augment": {"rand_augment_ops": 1, "rand_augment_magnitude": 5.0}},
        },
        "a small stem, no crop": {
            "backbone": {"name": "resnet18", "image_size_px": 16, "small_stem": True},
            "pretrain": {"augment": {"crop": "none"}},
            "transfer": {"augment": {"min_area": 0.5}},
        },
        "from a finished run, tested elsewhere, own steps": {
            "start": {"kind": "run", "source": finished},
            "evaluation": elsewhere,
            "dataset": {"train_fraction": 0.7, "drop_duplicates": True},
            "target": _LEVELS["fine"],
            "arms": {"arm": {**_LEVELS["coarse"], "pretrain_steps": 2, "transfer_steps": 2}},
        },
        "labels made at random, the task on another dataset": {
            "arms": {"arm": {"source": "random", "options": {"num_classes": 2, "aligned": False}}},
            "target": {"source": "cut", "options": {"num_classes": 2}},
            "transfer_dataset": {
                "name": "folder", "options": {"source": own}, "train_split": "test",
                "eval_split": "train",
            },
        },
    }  # fmt: skip


def merged(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The content with the changes in it; `options` and labels are replaced, not merged."""
    result = dict(content)
    for key, value in changes.items():
        whole = key in ("options", "target", "arm", "evaluation", "transfer_dataset")
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping) and not whole:
            value = merged(result[key], value)
        result[key] = value
    return result


def documented_defaults() -> dict[str, Any]:
    """`Class.field` → default, of a recipe and all that its fields may hold; no required one.

    What labels are made by is told by tests/labels.
    """
    of_labels = SOURCES.values()
    records = [record for record in records_within(Recipe) if record not in of_labels]
    return {name: value for record in records for name, value in _defaults(record).items()}


def _defaults(cls: type) -> dict[str, Any]:
    found = {}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING:
            found[f"{cls.__name__}.{field.name}"] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[f"{cls.__name__}.{field.name}"] = field.default_factory()
    return found


def values_in(spec: Any) -> Iterator[tuple[str, Any]]:
    """`Class.field` and value of every field of a recipe, however deep."""
    if isinstance(spec, Mapping):
        for value in spec.values():
            yield from values_in(value)
    if dataclasses.is_dataclass(spec):
        for field in dataclasses.fields(spec):
            value = getattr(spec, field.name)
            yield f"{type(spec).__name__}.{field.name}", value
            yield from values_in(value)
