"""Exports a run of a backbone and compares the export with the run.

For the largest, whose four copies take 5 GB, in a process of its own:
python checked_export.py '{"name": "vit_l16", "folder": "..."}'
"""

from __future__ import annotations

import json
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from fine2coarse.models import BackboneSpec, Classifier
from tests.exported_runs import Sample, images, write_sample

PARITY = 1e-6


def numbers(model, batch):
    """What a model of a run gives, compiled as in the run's own evaluation."""
    return tf.function(lambda x: model(x, training=False))(batch).numpy()


def check(name: str, folder: pathlib.Path) -> None:
    """Numbers at several batch and image sizes, and the size on disk.

    Args:
      name: of the backbone.
      folder: where run and export go.

    Raises:
      AssertionError: where something differs.
    """
    size_px = 64 if name.startswith(("resnet", "mlp")) else 32
    sample = write_sample(folder, name, size_px, with_head=True)
    loaded = tf.saved_model.load(sample.folder)
    in_run = tf.function(
        lambda x: sample.model(x, training=False), input_signature=[tf.TensorSpec([None] * 4)]
    )
    for num in (1, 3):
        batch = images(num, size_px)
        np.testing.assert_allclose(loaded(batch), in_run(batch), atol=PARITY)
    assert sample.exported.num_bytes <= 1.02 * sample.exported.num_weight_bytes + 2e6
    assert sample.exported.facts.any_image_size == name.startswith("resnet")
    if sample.exported.facts.any_image_size:
        _check_another_size(sample, loaded, name, size_px + 16)
    else:
        with pytest.raises(ValueError, match="matching concrete function"):
            loaded(images(1, size_px + 32))


def _check_another_size(sample: Sample, loaded, name: str, size_px: int) -> None:
    other = Classifier(BackboneSpec(name, size_px), 4, seed=0)
    other.set_weights(sample.model.get_weights())
    batch = images(2, size_px)
    np.testing.assert_allclose(loaded(batch), numbers(other, batch), atol=PARITY)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    check(settings["name"], pathlib.Path(settings["folder"]))
    print("the export is as the run")
