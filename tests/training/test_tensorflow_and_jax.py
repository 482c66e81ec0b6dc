"""TensorFlow and JAX train alike: the same weights and batches give the same losses."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from fine2coarse.models import backbone_names

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROGRAM = pathlib.Path(__file__).with_name("losses_of.py")
# Of these, 20 steps take minutes on two cores: tests marked `stress`.
LARGE = {"vit_b16", "vit_b32", "vit_l16", "mlp_B_12-Wi_1024", "mlp_B_6-Wi_1024", "resnet50"}


def losses(backend: str, backbones: list[str], folder: pathlib.Path) -> dict[str, list[float]]:
    settings = {"backbones": backbones, "weights": str(folder), "num_steps": 20}
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), json.dumps(settings)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def assert_alike(backbones: list[str], folder: pathlib.Path) -> None:
    assert backbones
    ours, theirs = (losses(backend, backbones, folder) for backend in ("tensorflow", "jax"))
    for name in backbones:
        assert len(ours[name]) == 20 and ours[name][0] != ours[name][-1]
        worst = np.abs(np.subtract(ours[name], theirs[name])).max()
        print(f"{name}: losses differ by {worst:.1e} at most")
        assert worst < 1e-4, name


@pytest.mark.slow
def test_backbones_train_alike(tmp_path):
    assert_alike([name for name in backbone_names() if name not in LARGE], tmp_path)


@pytest.mark.stress
def test_large_backbones_train_alike(tmp_path):
    assert_alike(sorted(LARGE), tmp_path)
