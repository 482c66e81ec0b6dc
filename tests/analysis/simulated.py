"""Finished runs without training: from tables of errors, or written as the folders of a study."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

import numpy as np

from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.predictions import StoredPredictions
from fine2coarse.recipes.names import DIRECT

NUM_CLASSES = 4


@dataclasses.dataclass(frozen=True)
class KnownPredictions:
    """Stands for `RunPredictions` where predictions are made up and lie in no folder."""

    transferred: StoredPredictions
    direct: StoredPredictions | None = None
    are_stored: bool = True


def finished_run(
    arm: str,
    seed: int,
    wrong: np.ndarray,
    margins: np.ndarray | None = None,
    classes: int = 8,
    direct: np.ndarray | None = None,
) -> FinishedRun:
    """A run that gets the images wrong where `wrong` is true; margins say the same if left out.

    Its direct use is wrong where `direct` is true; there is none where that is left out. Where it
    is wrong on the same images it is the transfer that was chosen.
    """
    wrong = np.asarray(wrong, bool)
    direct = None if direct is None else np.asarray(direct, bool)
    is_direct = direct is not None and np.array_equal(wrong, direct)
    return FinishedRun(
        arm=arm,
        seed=seed,
        folder=pathlib.Path(f"{arm}-seed{seed}"),
        pretrained=None,
        tested={"num_classes": classes, "seed": seed},
        transfer=DIRECT if is_direct else "summed",
        predictions=KnownPredictions(
            predictions(wrong, margins), None if direct is None else predictions(direct)
        ),
    )


def predictions(wrong: np.ndarray, margins: np.ndarray | None = None) -> StoredPredictions:
    """Predictions that are wrong where `wrong` is true: bool [N]."""
    targets = (np.arange(len(wrong)) % NUM_CLASSES).astype(np.int32)
    return StoredPredictions(
        image_ids=np.asarray([f"image{i}" for i in range(len(wrong))]),
        targets=targets,
        predicted=(targets + wrong).astype(np.int32) % NUM_CLASSES,
        margins=np.where(wrong, -1.0, 1.0) if margins is None else margins,
    )


def finished_runs(
    tables: Mapping[str, np.ndarray], direct: Mapping[str, np.ndarray] | None = None
) -> list[FinishedRun]:
    """Runs from arm → bool [S, N], after transfer and used directly; seed s is row s."""
    seeds, direct = max(len(table) for table in tables.values()), direct or {}
    return [
        finished_run(
            arm,
            seed,
            table[seed],
            classes=4 + number,
            direct=direct[arm][seed] if arm in direct else None,
        )
        for seed in range(seeds)
        for number, (arm, table) in enumerate(tables.items())
        if seed < len(table)
    ]


def write_phase(folder: pathlib.Path, seed: int, wrong: np.ndarray, **result: object) -> None:
    """The files of a finished phase that analysis reads."""
    folder.mkdir(parents=True)
    found = dataclasses.asdict(predictions(np.asarray(wrong, bool)))
    np.savez_compressed(folder / "predictions.npz", **found)
    content = {
        "num_classes": NUM_CLASSES,
        "seed": seed,
        "elapsed_seconds": 2.0,
        "images_seen": 100,
        "evaluation": {"num_wrong": int(np.sum(wrong)), "num_images": len(wrong)},
        **result,
    }
    (folder / "result.json").write_text(json.dumps(content))
