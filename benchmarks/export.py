"""Exports backbones and states their size on disk and the time that loading them takes.

python benchmarks/export.py
python benchmarks/export.py --backbones=all
python benchmarks/export.py --backbones=resnet18,vit_s16 --repeats=5

The weights are random: neither size nor time depends on them. Each backbone is loaded in a process
of its own, TensorFlow already imported; the reference in the same process loads the same weights
with Keras from the run's own .h5 file into a model that is built first. The sides take turns, and
the first turn, which pays for what a process does once, is left out. Both are measured in CPU
seconds of the process; each figure is the median with its range over the repeats. A folder larger
than its limit (1.02 times the float32 weights plus 2 MB) ends the program with an error.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

_LOAD = """
import json, pathlib, sys, time
import tensorflow as tf
from fine2coarse.runs.classifiers import load_classifier
tf.zeros([1])
def timed(function):
    wall, cpu = time.monotonic(), time.process_time()
    function()
    return time.monotonic() - wall, time.process_time() - cpu
pairs = []
for _ in range(int(sys.argv[3]) + 1):
    ours = timed(lambda: tf.saved_model.load(sys.argv[1]))
    theirs = timed(lambda: load_classifier(pathlib.Path(sys.argv[2])))
    pairs.append([ours, theirs])
print(json.dumps(pairs[1:]))
"""
# One of each family, so that the program ends within minutes.
_DEFAULT = "resnet_tiny,resnet18,vit_s16,mlp_S_6-Wi_512"


def main() -> None:
    """Prints one row a backbone."""
    from fine2coarse.models import backbone_names

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbones", default=_DEFAULT, help="names, or 'all'")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    names = backbone_names() if arguments.backbones == "all" else arguments.backbones.split(",")
    if unknown := sorted(set(names) - set(backbone_names())):
        parser.error(f"unknown backbones {unknown}; there are: {', '.join(backbone_names())}")
    if arguments.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {arguments.repeats}")
    print(
        "| backbone | px | weights MB | on disk MB | limit MB | load CPU s | load wall s | "
        "Keras from .h5 CPU s | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(_row(name, pathlib.Path(folder) / name, arguments.repeats), flush=True)


def _row(name: str, folder: pathlib.Path, repeats: int) -> str:
    from fine2coarse.export.run_export import ExportOptions, export_run
    from fine2coarse.models import BackboneSpec

    size_px = 64 if name.startswith(("resnet", "mlp")) else 224
    _write_run(folder / "run", BackboneSpec(name, size_px))
    done = export_run(folder / "run", folder / "out", ExportOptions(with_head=True))
    timed = _load(done.folder, folder / "run", repeats)
    shutil.rmtree(folder)
    ours = [saved_model[1] for saved_model, _ in timed]
    walls = [saved_model[0] for saved_model, _ in timed]
    theirs = [keras_file[1] for _, keras_file in timed]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    limit = 1.02 * done.num_weight_bytes + 2e6
    if done.num_bytes > limit:
        sys.exit(f"{name}: {done.num_bytes} bytes on disk, more than {limit:.0f}")
    return (
        f"| {name} | {size_px} | {done.num_weight_bytes / 1e6:.2f} | {done.num_bytes / 1e6:.2f} | "
        f"{limit / 1e6:.2f} | {_middle(ours)} | {_middle(walls)} | {_middle(theirs)} | "
        f"{_middle(ratios)} |"
    )


def _middle(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def _load(exported: pathlib.Path, run: pathlib.Path, repeats: int) -> list[list[list[float]]]:
    """Wall and CPU seconds of export and reference, once a repeat."""
    root = pathlib.Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, exported, run, str(repeats)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def _write_run(folder: pathlib.Path, backbone: object) -> None:
    """A finished run's folder, by hand: nothing is trained."""
    import dataclasses

    import numpy as np

    from fine2coarse.files import write_json
    from fine2coarse.labels import LabelSpace
    from fine2coarse.models import Classifier
    from fine2coarse.runs.phase_folder import LABEL_SPACE, WEIGHTS

    folder.mkdir(parents=True)
    names = tuple(f"class {i}" for i in range(1000))
    space = LabelSpace(names, names, np.arange(1000)[:, None], name="made-up")
    Classifier(backbone, 1000, seed=0).save_weights(folder / WEIGHTS)
    space.save(folder / LABEL_SPACE)
    labels = {"name": space.name, "num_classes": 1000, "fingerprint": space.fingerprint}
    recipe = {
        "purpose": "pretrain",
        "dataset_fingerprint": "",
        "label_space": {**labels, "source": {}},
        "backbone": dataclasses.asdict(backbone),
        "phase": {},
        "seed": 0,
        "precision": "float32",
    }
    write_json(folder / "recipe.json", recipe)
    write_json(folder / "result.json", {"last_loss": 0.0, "images_seen": 0})


if __name__ == "__main__":
    main()
