"""The sides of `input.py`: each gives batches of 64 float images at 224 px of the same shards."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import pathlib
from collections.abc import Callable
from typing import Any

BATCH_SIZE = 64
SIZE_PX = 224
Take = Callable[[int], None]
"""Takes so many batches, and returns when the last one is there."""
Start = Callable[[], Take]
"""Opens the images and makes the batches: what a training waits for before its first step."""
_MANY_STEPS = 10**7


def our_side(path: pathlib.Path, storage: str) -> Start:
    """What a phase run trains on: `dataset.storage`, then the batches that `Trainer` goes through.

    Operations are deterministic, as in every run.
    """
    import numpy as np

    from fine2coarse.backend_start import start_tensorflow
    from fine2coarse.labels.space import LabelSpace
    from fine2coarse.models import BackboneSpec
    from fine2coarse.recipes.phase_spec import AugmentSpec, PhaseSpec
    from fine2coarse.recipes.recipe import DatasetSpec
    from fine2coarse.runs import execution
    from fine2coarse.runs.phase_run import PhaseRun
    from fine2coarse.studies.storage import open_examples
    from fine2coarse.training.tensorflow.distribution import distribute, make_strategy

    from _input_data import open_prepared  # isort: skip

    start_tensorflow("this benchmark")
    strategy = make_strategy("one_device")
    dataset = open_prepared(path)
    names = tuple(dataset.taxonomy.leaf_ids)

    def start() -> Take:
        run = PhaseRun(
            purpose="pretrain",
            space=LabelSpace(names, names, np.arange(len(names))[:, None]),
            phase=PhaseSpec(_MANY_STEPS, BATCH_SIZE, augment=AugmentSpec("inception", flip=True)),
            backbone=BackboneSpec("resnet50", SIZE_PX),
            seed=0,
            precision="float32",
            train=open_examples(dataset, "train", DatasetSpec("demo", storage=storage)),
            evaluate=None,
            dataset_fingerprint="",
        )
        labels, _ = execution._split(run)
        feed = execution._training_feed(run, labels, 0)
        return take_from(distribute(strategy, feed.batches))

    return start


def take_from(batches: Any) -> Take:
    """Takes batches inside of one compiled function, as the training loop does."""
    import tensorflow as tf

    @tf.function
    def take(iterator: Any, num_batches: tf.Tensor) -> tf.Tensor:
        num_images = tf.constant(0)
        for _ in tf.range(num_batches):
            batch = next(iterator)
            num_images += tf.shape(batch["image"])[0]
        return num_images

    iterator = iter(batches)
    return lambda num_batches: take(iterator, tf.constant(num_batches)).numpy()


@dataclasses.dataclass(frozen=True)
class TfdsSettings:
    """How TFDS reads: the defaults are TFDS's own.

    Attributes:
      fused: the image is left undecoded, and cropped while it is decoded.
      cycle_length: shards that are read in turns.
      block_length: images of a shard in its turn.
      deterministic: of the options; None leaves it to TFDS.
      parallel: calls of the crop at a time; 0 lets tf.data tune it.
      threads: of a pool of the dataset's own, with one thread an operation; 0 for TensorFlow's.
      buffer_bytes: of a file reader; 0 for TensorFlow's.
    """

    fused: bool = False
    cycle_length: int = 16
    block_length: int = 16
    deterministic: bool | None = None
    parallel: int = 0
    threads: int = 0
    buffer_bytes: int = 0


def tfds_candidates() -> list[TfdsSettings]:
    """Settings among which the best is found by trying."""
    cores = len(os.sched_getaffinity(0))
    fused = functools.partial(TfdsSettings, fused=True, deterministic=False)
    return [
        fused(),
        fused(parallel=cores),
        fused(parallel=2 * cores),
        fused(cycle_length=4, parallel=cores),
        fused(cycle_length=2, block_length=64, parallel=cores),
        fused(parallel=cores, threads=cores),
        fused(parallel=cores, threads=2 * cores),
        fused(parallel=cores, threads=cores, buffer_bytes=2**23),
    ]


def tfds_side(path: pathlib.Path, settings: TfdsSettings) -> Start:
    """TFDS's own `as_dataset(shuffle_files=True)`, with the same crop; nothing is deterministic."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from fine2coarse.input.augmentation import train_image
    from fine2coarse.recipes.phase_spec import AugmentSpec

    builder = tfds.builder_from_directory(os.fspath(path))
    augment = AugmentSpec("inception", flip=True)

    def prepared(index: tf.Tensor, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        seed = tf.stack([index, tf.constant(0, tf.int64)])
        image = train_image(example["image"], seed, SIZE_PX, augment)
        return {"image": image, "label": example["label"]}

    def start() -> Take:
        examples = builder.as_dataset(
            split="train",
            shuffle_files=True,
            decoders={"image": tfds.decode.SkipDecoding()} if settings.fused else None,
            read_config=_read_config(settings),
        )
        parallel = settings.parallel or tf.data.AUTOTUNE
        batches = (
            examples.repeat()
            .enumerate()
            .map(prepared, num_parallel_calls=parallel, deterministic=settings.deterministic)
            .batch(BATCH_SIZE, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
        )
        return take_from(batches)

    return start


def _read_config(settings: TfdsSettings) -> Any:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    if settings == TfdsSettings():
        return None
    options = tf.data.Options()
    if settings.deterministic is not None:
        options.deterministic = settings.deterministic
    if settings.threads:
        options.threading.private_threadpool_size = settings.threads
        options.threading.max_intra_op_parallelism = 1
    return tfds.ReadConfig(
        options=options,
        interleave_cycle_length=settings.cycle_length,
        interleave_block_length=settings.block_length,
        override_buffer_size=settings.buffer_bytes or None,
    )


def torch_side(path: pathlib.Path, num_workers: int) -> Start:
    """A PyTorch DataLoader; crops by PIL as torchvision has them.

    It reads the JPEG files where they lie in the same shards, so that the disk is asked for the
    same bytes.
    """
    import math
    import random

    import numpy as np
    import torch
    from PIL import Image

    from _input_data import PLACES, shard_paths  # isort: skip

    class Crops(torch.utils.data.Dataset):
        """JPEG files with torchvision's RandomResizedCrop and flip, by PIL."""

        def __init__(self) -> None:
            self.places = np.load(path / PLACES)
            self.descriptors = [os.open(shard, os.O_RDONLY) for shard in shard_paths(path)]

        def __len__(self) -> int:
            return len(self.places)

        def __getitem__(self, index: int):
            shard, start, size = self.places[index].tolist()
            file = io.BytesIO(os.pread(self.descriptors[shard], size, start))
            with Image.open(file) as found:
                image = found.convert("RGB")
            crop = image.resize(
                (SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR, box=self._window(*image.size)
            )
            if random.random() < 0.5:
                crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)
            return pixels.float().div(255), 0

        def _window(self, width: int, height: int):
            while True:
                area = random.uniform(0.08, 1) * width * height
                ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
                w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if w <= width and h <= height:
                    left, top = random.randint(0, width - w), random.randint(0, height - h)
                    return left, top, left + w, top + h

    def endless():
        loader = torch.utils.data.DataLoader(
            Crops(),
            BATCH_SIZE,
            shuffle=True,
            num_workers=num_workers,
            drop_last=True,
            persistent_workers=True,
        )
        while True:
            yield from loader

    def start() -> Take:
        batches = endless()

        def take(num_batches: int) -> None:
            for _ in range(num_batches):
                next(batches)

        return take

    return start
