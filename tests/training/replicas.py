"""Trains a tiny model in a process of its own and prints what came out, as JSON.

python replicas.py '{"num_replicas": 2, "precision": "float32", "jit_compile": false}'

With TF_CONFIG set it is one of several workers.
"""

from __future__ import annotations

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(settings: dict) -> dict:
    import keras
    import numpy as np

    from fine2coarse.input import Examples
    from fine2coarse.input.feeds import train_feed
    from fine2coarse.labels.class_map import ClassMap
    from fine2coarse.models import BackboneSpec, Classifier, Summation
    from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
    from fine2coarse.training.engine import make_engine
    from fine2coarse.training.loop import Trainer

    replicas = settings.get("num_replicas", 1)
    engine = make_engine("auto" if replicas == 1 else "mirrored", replicas)
    keras.config.set_dtype_policy(settings.get("precision", "float32"))
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (64, 16, 16, 3), np.uint8)
    on_device = settings.get("on_device", False)
    examples = Examples(images, tuple(map(str, range(64))), np.arange(64) % 4, on_device=on_device)
    labels = (np.arange(64) % 4)[:, None].astype(np.int32)
    phase = PhaseSpec(
        total_steps=20,
        batch_size=32,
        optimizer=OptimizerSpec(
            learning_rate=0.05,
            weight_decay=1e-3,
            max_gradient_norm=0.5,
            ema_decay=0.99,
            backbone_rate_factor=0.5,
        ),
        augment=AugmentSpec(crop="shift", shift_px=2),
        mixup=0.4,
        label_smoothing=0.1,
        accumulate_steps=2,
        log_every_steps=1,
    )
    # A head of eight classes whose probabilities are summed into four, as transfers have.
    pairs = ClassMap.from_labels(np.arange(8)[:, None], np.arange(8) % 4, (8, 4))
    summation = Summation(pairs)
    trainer = Trainer(
        engine,
        lambda: Classifier(BackboneSpec("resnet_tiny", 16), 8, seed=0, summation=summation),
        phase,
        settings.get("jit_compile", False),
    )
    losses = [
        progress.loss
        for progress in trainer.train(
            train_feed(
                examples,
                labels,
                batch_size=16,
                num_steps=40,
                image_size_px=16,
                augment=phase.augment,
                seed=3,
                mixup=phase.mixup,
            )
        )
    ]
    averages = [float(np.abs(v.numpy()).sum()) for v in trainer.average_weights()]
    statistics = [float(np.abs(v.numpy()).sum()) for v in trainer.model.non_trainable_variables]
    return {"losses": losses, "averages": averages, "statistics": statistics}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
