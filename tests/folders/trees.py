"""Folders as a user has them, made in milliseconds."""

from __future__ import annotations

import json
import pathlib

from tests.analysis.fake_study import write_study

MEGABYTE = 10**6


def write_json(path: pathlib.Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_bytes(path: pathlib.Path, num_bytes: int = MEGABYTE) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * num_bytes)
    return path


def write_data(folder: pathlib.Path, name: str = "folder/photos/1.0.0") -> pathlib.Path:
    """Prepared data of 30 images; returns the folder of its records."""
    builder, config, version = name.split("/")
    splits = [
        {"name": "train", "shardLengths": ["10", "15"]},
        {"name": "test", "shardLengths": [5]},
    ]
    info = {"name": builder, "configName": config, "version": version, "splits": splits}
    write_json(folder / name / "dataset_info.json", info)
    write_bytes(folder / name / "photos-train.tfrecord-00000-of-00001")
    write_json(folder / "claims" / "prepare-0.000001.json", {"state": "done"})
    return folder / name


def write_phase(folder: pathlib.Path, *, is_finished: bool = True) -> pathlib.Path:
    """A phase outside of a study."""
    space = {"name": "fine", "num_classes": 32, "fingerprint": "f"}
    recipe = {"purpose": "pretrain", "seed": 2, "label_space": space}
    write_json(folder / "recipe.json", recipe | {"dataset_name": "folder/photos/1.0.0"})
    write_json(folder / "status.json", {"state": "running", "step": 40, "total_steps": 200})
    if is_finished:
        write_json(folder / "result.json", {})
    return folder


def write_heavy_study(folder: pathlib.Path) -> pathlib.Path:
    """A finished study of two seeds with the large files of training: a megabyte each."""
    write_study(folder, seeds=(0, 1), candidates=True, direct={"fine": 0.1})
    for run in (folder / "runs").iterdir():
        phases = [path for path in run.iterdir() if path.is_dir()]
        for phase in phases:
            write_bytes(phase / "model.weights.h5")
        trial = run / "trials" / "new"
        write_bytes(trial / "model.weights.h5")
        write_json(trial / "result.json", {})
        write_json(trial / "recipe.json", {"purpose": "transfer"})
        if run.name.startswith("baseline"):
            branch = write_bytes(run / "trials" / "straight" / "branch.weights.h5")
            (run / "baseline" / "branch.weights.h5").hardlink_to(branch)
        else:
            write_bytes(run / "pretrain" / "checkpoints" / "step-40.npz")
    return folder
