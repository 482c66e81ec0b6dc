"""Examples of a prepared TFDS builder as they are stored, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from fine2coarse.preparation.record_index import ARRAY_RECORD


def undecoded(builder: tfds.core.DatasetBuilder, split: str, *features: str) -> tf.data.Dataset:
    """Examples in stored order, their images as encoded bytes.

    Args:
      builder: prepared.
      split: or a part of one, as in `train[:50%]`.
      *features: those wanted; all where none is named.
    """
    names = features or tuple(builder.info.features)
    skipped: Any = {"image": tfds.decode.SkipDecoding()} if "image" in names else None
    if builder.info.file_format.value == ARRAY_RECORD:
        return _from_source(builder, split, names, skipped)
    decoders = tfds.decode.PartialDecoding(dict.fromkeys(features, True), skipped)
    return builder.as_dataset(
        split=split,
        decoders=decoders if features else skipped,
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )


def _from_source(
    builder: tfds.core.DatasetBuilder, split: str, names: tuple[str, ...], decoders: Any
) -> tf.data.Dataset:
    """The same of ArrayRecord files, which TFDS gives as a sequence only."""
    source = builder.as_data_source(split=split, decoders=decoders)
    infos = builder.info.features.get_tensor_info()
    signature = {
        name: tf.TensorSpec((), tf.string)
        if name == "image"
        else tf.TensorSpec(infos[name].shape, tf.as_dtype(infos[name].dtype))
        for name in names
    }

    def examples() -> Iterator[dict[str, Any]]:
        for row in range(len(source)):
            example = source[row]
            yield {name: example[name] for name in names}

    return tf.data.Dataset.from_generator(examples, output_signature=signature)
