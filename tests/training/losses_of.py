"""Trains backbones for some steps on given batches and prints their losses, as JSON.

python losses_of.py '{"backbones": ["resnet_tiny"], "weights": "FOLDER", "num_steps": 20}'

The first process that is given a folder writes the initial weights there, the next one reads them.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_BATCH_SIZE = 16


def main(settings: dict) -> dict[str, list[float]]:
    import keras

    found = {}
    for name in settings["backbones"]:
        found[name] = losses_of(name, pathlib.Path(settings["weights"]), settings["num_steps"])
        keras.backend.clear_session()
    return found


def losses_of(name: str, folder: pathlib.Path, num_steps: int) -> list[float]:
    import numpy as np

    from fine2coarse import keras_settings
    from fine2coarse.input.feeds import Feed
    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
    from fine2coarse.training.loop import Trainer
    from tests.engines import one_device

    # Batch norm over a few values per channel would make a difference of one rounding grow tenfold
    # a step: a deep ResNet's last stage has 2 × 2 at 64 px.
    size = 64 if name.startswith("resnet") or name == "vit_b32" else 32
    phase = PhaseSpec(
        total_steps=num_steps,
        batch_size=_BATCH_SIZE,
        optimizer=OptimizerSpec(
            learning_rate=1e-4, weight_decay=0.01, ema_decay=0.99, warmup_steps=5
        ),
        log_every_steps=1,
    )
    trainer = Trainer(one_device(), lambda: Classifier(BackboneSpec(name, size), 5, seed=0), phase)
    path = folder / f"{name}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            trainer.model.set_weights([arrays[key] for key in sorted(arrays.files)])
    else:
        weights = trainer.model.get_weights()
        np.savez(path, **{f"w{i:05}": value for i, value in enumerate(weights)})

    def batches(shard):
        generator = np.random.default_rng(1)
        for _ in range(num_steps):
            yield {
                "image": generator.random((_BATCH_SIZE, size, size, 3), np.float32),
                "label": generator.integers(0, 5, (_BATCH_SIZE, 1)).astype(np.int32),
                "weight": np.ones(_BATCH_SIZE, np.float32),
            }

    def as_data(shard):
        import tensorflow as tf

        stacked = {key: np.stack(column) for key, column in _columns(batches(shard)).items()}
        return tf.data.Dataset.from_tensor_slices(stacked)

    on_jax = keras_settings.backend() == keras_settings.JAX
    return [at.loss for at in trainer.train(Feed(batches if on_jax else as_data))]


def _columns(batches) -> dict[str, list]:
    rows = list(batches)
    return {name: [row[name] for row in rows] for name in rows[0]}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
