"""A process that has nothing but tensorflow and tensorflow-hub installed loads and trains it."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.exported_runs import images

_PROGRAM = """
import importlib.util, sys
import numpy as np
for name in ("fine2coarse", "keras_hub", "tensorflow_datasets"):
    assert importlib.util.find_spec(name) is None, name
import tensorflow as tf
import tensorflow_hub as hub

folder, images, expected = sys.argv[1], np.load(sys.argv[2]), np.load(sys.argv[3])
model = hub.load(folder)
print("difference", np.abs(model(images) - expected).max())
losses = []
for _ in range(3):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images, training=True) ** 2)
    variables = list(model.trainable_variables)
    for variable, gradient in zip(variables, tape.gradient(loss, variables)):
        variable.assign_sub(0.01 * gradient)
    losses.append(float(loss))
print("losses", *losses)
import tf_keras  # tensorflow-hub brings it along
layer = hub.KerasLayer(folder, trainable=True)
print("weights", len(layer.trainable_weights), len(layer.non_trainable_weights))
"""


def _install(folder: pathlib.Path) -> pathlib.Path:
    """A new virtual environment with the two packages; its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    wanted = [
        f"{name}=={importlib.metadata.version(name)}" for name in ("tensorflow", "tensorflow-hub")
    ]
    # tensorflow-hub 0.16.1 imports pkg_resources, which setuptools has up to version 81.
    command = [str(python), "-m", "pip", "install", "--quiet", *wanted, "setuptools<81"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip cannot install from its index here: {done.stderr.strip()[-300:]}")
    return python


@pytest.mark.slow
def test_tensorflow_and_tensorflow_hub_are_enough(resnet, tmp_path):
    python = _install(tmp_path / "venv")
    batch = images(4, 24)
    np.save(tmp_path / "images.npy", batch)
    np.save(tmp_path / "expected.npy", _features(resnet.model.backbone.get_weights(), batch))
    done = subprocess.run(
        [str(python), "-c", _PROGRAM, resnet.folder, tmp_path / "images.npy",
         tmp_path / "expected.npy"],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert float(told["difference"]) <= 1e-6
    first, *_, last = map(float, told["losses"].split())
    assert last < first
    assert told["weights"] == "27 18"


def _features(weights: list[np.ndarray], batch: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    from fine2coarse.models import BackboneSpec, build_backbone

    backbone = build_backbone(BackboneSpec("resnet_tiny", batch.shape[1]), seed=0)
    backbone.set_weights(weights)
    return tf.function(lambda x: backbone(x, training=False))(batch).numpy()
