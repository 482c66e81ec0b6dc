"""Study folders as training would leave them, made in milliseconds from chosen errors.

Without `direct` they are of the time before transfers were tried: one transfer, from a new head,
and pretraining that was not tested on the target.
"""

from __future__ import annotations

import csv
import json
import pathlib
import zlib

import numpy as np

from fine2coarse.labels.space import LabelSpace
from fine2coarse.runs.phase_folder import METRIC_COLUMNS

NUM_CLASSES = 4
ARMS = {
    "middle": {"source": "level", "options": {"level": "middle"}, "transfer_steps": 0},
    "fine": {"source": "level", "options": {"level": "fine"}},
    "random": {"source": "random", "options": {"as_many_as_level": "fine"}},
}
ERRORS = {"baseline": 0.36, "middle": 0.23, "fine": 0.17, "random": 0.39}
_SIZES = {"baseline": NUM_CLASSES, "middle": 8, "fine": 32, "random": 32}
# Errors of the pretrained models used as they are: summing is best for fine, transfer for middle.
DIRECT = {"middle": 0.26, "fine": 0.12, "random": 0.39}
CANDIDATES = ("direct", "summed_slow", "summed", "new")
BASELINE_CANDIDATES = ("straight", "continue", "continue_slow", "new")
_PHASE = {"total_steps": 40, "batch_size": 16, "optimizer": {"learning_rate": 0.1}}


def write_study(
    workdir: pathlib.Path,
    *,
    arms: dict | None = None,
    errors: dict[str, float] | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    num_images: int = 200,
    predictions: bool = True,
    cost: bool = True,
    direct: dict[str, float] | None = None,
    candidates: bool = False,
    **recipe: object,
) -> pathlib.Path:
    """Writes a finished study.

    Args:
      workdir: its folder.
      arms: as in a recipe.
      errors: after transfer, by arm.
      seeds: of the runs.
      num_images: test images.
      predictions: whether predictions for single images are kept.
      cost: whether FLOPs and memory are.
      direct: errors of the pretrained models used as they are; None where those were not tested.
      candidates: whether several transfers were tried. The summed head is chosen, but the direct
        use where it has less error.
      **recipe: adds to the recipe or replaces parts of it.
    """
    arms, errors = arms or ARMS, errors or ERRORS
    if candidates:
        recipe = {"transfer_candidates": "auto", "transfer_head": "auto", "transfer_mode": "auto",
                  "transfer_choices": {}, "transfer_validation_share": 0.1, **recipe}  # fmt: skip
    content = {
        "dataset": {"name": "folder", "options": {"source": "/photos"}, "eval_split": "test"},
        "target": {"source": "level", "options": {"level": "superclass"}},
        "arms": arms,
        "seeds": list(seeds),
        "backbone": {"name": "resnet_tiny", "image_size_px": 32},
        "pretrain": _PHASE,
        "transfer": _PHASE,
        "transfer_mode": "finetune",
        **recipe,
    }
    _write_json(workdir / "recipe.json", content)
    for seed in seeds:
        for arm in ("baseline", *arms):
            folder = workdir / "runs" / f"{arm}-seed{seed}"
            generator = np.random.default_rng([seed, zlib.crc32(arm.encode())])
            final = folder / ("baseline" if arm == "baseline" else "transfer")
            error, used = errors.get(arm, 0.3), None
            if arm != "baseline":
                used = _write_pretraining(folder / "pretrain", arm, seed, cost, direct, num_images)
            found = _predictions(generator, error, num_images)
            more = {}
            if candidates:
                found = used if used and direct.get(arm, 0.3) < error else found
                more = _tried(arm, found, used, cost)
            _write_phase(final, arm, seed, NUM_CLASSES, cost, found, more)
            if predictions:
                np.savez_compressed(final / "predictions.npz", **found)
    return workdir


def _write_pretraining(
    folder: pathlib.Path,
    arm: str,
    seed: int,
    cost: bool,
    direct: dict[str, float] | None,
    num_images: int,
) -> dict | None:
    """Returns the predictions of its direct use."""
    if direct is None:
        _write_phase(folder, arm, seed, _SIZES.get(arm, 16), cost)
        return None
    generator = np.random.default_rng([seed, 1, zlib.crc32(arm.encode())])
    predictions = _predictions(generator, direct.get(arm, 0.3), num_images)
    wrong = int((predictions["predicted"] != predictions["targets"]).sum())
    more = {"direct_argmax": {"num_wrong": wrong + 2, "num_images": num_images},
            "held_out": {"num_wrong": wrong // 2, "num_images": num_images // 2}}  # fmt: skip
    _write_phase(folder, arm, seed, _SIZES.get(arm, 16), cost, predictions, more)
    np.savez_compressed(folder / "predictions.npz", **predictions)
    return predictions


def _tried(arm: str, predictions: dict, used: dict | None, cost: bool) -> dict:
    """What the result of a last phase says of the transfers that were tried."""
    names = BASELINE_CANDIDATES if arm == "baseline" else CANDIDATES
    chosen = names[0] if arm == "baseline" or predictions is used else "summed"
    num_images = len(predictions["targets"])
    wrong = int((predictions["predicted"] != predictions["targets"]).sum())
    found = {}
    for number, name in enumerate(names):
        extra = 0 if name == chosen else 8 + number
        if name == "direct" and used is not None:
            extra = int((used["predicted"] != used["targets"]).sum()) - wrong
        trained = name != "direct"
        found[name] = {
            "held_out": {"num_wrong": (wrong + extra) // 2, "num_images": num_images // 2},
            "evaluation": {"num_wrong": wrong + extra, "num_images": num_images},
            "elapsed_seconds": 10.0 * trained,
            "images_seen": 640 * trained,
            "cost": _cost(arm) if trained and cost else {},
        }
    own = {} if found[chosen]["images_seen"] else {"elapsed_seconds": 0.0, "images_seen": 0}
    return {"transfer": chosen, "candidates": found, **own}


def _cost(arm: str) -> dict:
    return {"train_flops_per_image": 10**9 * len(arm), "peak_memory_bytes": 2**30,
            "num_parameters": 1000, "replicas": 1, "device": "CPU"}  # fmt: skip


def _predictions(generator: np.random.Generator, error: float, num_images: int) -> dict:
    """The same images are the difficult ones in every run."""
    targets = np.arange(num_images, dtype=np.int32) % NUM_CLASSES
    difficulty = np.random.default_rng(7).uniform(size=num_images)
    score = 0.7 * difficulty + 0.3 * generator.uniform(size=num_images)
    wrong = score > np.quantile(score, 1 - error)
    predicted = np.where(wrong, (targets + 1) % NUM_CLASSES, targets).astype(np.int32)
    margins = np.where(wrong, -score, 1 - score).astype(np.float32)
    ids = np.asarray([f"test/a<b>&{row:04d}" for row in range(num_images)])
    return {"image_ids": ids, "targets": targets, "predicted": predicted, "margins": margins}


def _write_phase(
    folder: pathlib.Path,
    arm: str,
    seed: int,
    num_classes: int,
    cost: bool,
    predictions: dict | None = None,
    more: dict | None = None,
) -> None:
    folder.mkdir(parents=True)
    names = tuple(f"class{number}" for number in range(num_classes))
    space = LabelSpace(names, names, np.arange(num_classes)[:, None], name=f"{arm} labels")
    space.save(folder / "label_space.npz")
    described = {"name": space.name, "num_classes": num_classes, "fingerprint": space.fingerprint}
    if predictions is not None:
        described |= {"name": "superclass", "fingerprint": "f" * 64}
    _write_json(
        folder / "recipe.json",
        {"dataset_name": "folder/photos/1.0.0", "dataset_fingerprint": "d" * 64,
         "label_space": described, "phase": _PHASE, "seed": seed},
    )  # fmt: skip
    result = {"num_classes": num_classes, "seed": seed, "elapsed_seconds": 10.0 + seed,
              "images_seen": 640, "label_space": described["name"]}  # fmt: skip
    if cost:
        result["cost"] = _cost(arm)
    if predictions is not None:
        wrong = predictions["predicted"] != predictions["targets"]
        result["evaluation"] = {"num_wrong": int(wrong.sum()), "num_images": len(wrong)}
        result["metrics"] = {"balanced_accuracy": 0.5}
    _write_json(folder / "result.json", result | (more or {}))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, METRIC_COLUMNS)
        writer.writeheader()
        for step in (10, 20, 30, 40):
            writer.writerow({"step": step, "loss": 2.0 / step, "validation_accuracy": step / 50})


def _write_json(path: pathlib.Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
