"""Outcomes without training: from tables of errors, or written as the folders of a study."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping

import numpy as np

from fine2coarse.analysis.finished import RunResults
from fine2coarse.analysis.outcomes import DIRECT, Answers, Outcome

NUM_CLASSES = 4


def outcome(
    arm: str,
    seed: int,
    wrong: np.ndarray,
    margins: np.ndarray | None = None,
    classes: int = 8,
    direct: np.ndarray | None = None,
) -> Outcome:
    """A run that gets the images wrong where `wrong` is true; margins say the same if left out.

    Its direct use is wrong where `direct` is true; there is none where that is left out. Where it
    is wrong on the same images it is the transfer that was chosen.
    """
    wrong = np.asarray(wrong, bool)
    is_direct = direct is not None and np.array_equal(wrong, np.asarray(direct, bool))
    targets = (np.arange(len(wrong)) % NUM_CLASSES).astype(np.int32)
    return Outcome(
        arm=arm,
        seed=seed,
        num_classes=classes,
        folder=pathlib.Path(f"{arm}-seed{seed}"),
        image_ids=np.asarray([f"image{i}" for i in range(len(wrong))]),
        targets=targets,
        predicted=(targets + wrong).astype(np.int32) % NUM_CLASSES,
        margins=np.where(wrong, -1.0, 1.0) if margins is None else margins,
        results=RunResults.of(
            arm, None, {"seed": seed, "transfer": DIRECT if is_direct else "summed"}
        ),
        direct=None if direct is None else _answers(targets, np.asarray(direct, bool)),
    )


def _answers(targets: np.ndarray, wrong: np.ndarray) -> Answers:
    return Answers((targets + wrong) % NUM_CLASSES, np.where(wrong, -1.0, 1.0))


def outcomes(
    tables: Mapping[str, np.ndarray], direct: Mapping[str, np.ndarray] | None = None
) -> list[Outcome]:
    """Runs from arm → bool [S, N], after transfer and used directly; seed s is row s."""
    seeds, direct = max(len(table) for table in tables.values()), direct or {}
    return [
        outcome(
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
    run = outcome("any", seed, wrong)
    folder.mkdir(parents=True)
    np.savez_compressed(
        folder / "predictions.npz",
        image_ids=run.image_ids,
        targets=run.targets,
        predicted=run.predicted,
        margins=run.margins,
    )
    content = {
        "num_classes": NUM_CLASSES,
        "seed": seed,
        "elapsed_seconds": 2.0,
        "images_seen": 100,
        "evaluation": {"num_wrong": int(np.sum(wrong)), "num_images": len(wrong)},
        **result,
    }
    (folder / "result.json").write_text(json.dumps(content))
