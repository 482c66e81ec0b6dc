"""Reading training batches: ours against TFDS's defaults and a PyTorch DataLoader with PIL.

    python benchmarks/read.py --archive=../shared/data/imagenet21k_mini/fall11_whole.tar
    python benchmarks/read.py --archive=... --torch_python=/path/to/venv/bin/python

Every side decodes JPEG, takes a random-resized crop to 224 px, flips half of the images and gives
batches of 64 float images. The images are the archive's, enlarged to photographs (500 by 375 px).
Each run is a process of its own; the first batches are not timed. Needs psutil and Pillow; the
PyTorch sides need a Python that has torch, numpy, Pillow and psutil, and are left out without one.

  ours         undecoded examples, crop fused into decoding (fine2coarse.input.augmentation)
  TFDS         the same crop and resize after TFDS's own decoding of the whole image
  PIL, N       a DataLoader over image files, crops by PIL as torchvision has them, N processes
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

BATCH_SIZE = 64
SIZE_PX = 224
WARM_UP_BATCHES = 5
TF_SIDES = ("ours", "TFDS")
TORCH_SIDES = ("PIL, 1 worker", "PIL, 2 workers")


def tf_batches(side: str, data_dir: pathlib.Path):
    """Endless batches of a TensorFlow side."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    import tensorflow_datasets as tfds

    from fine2coarse.datasets.imagenet21k import Imagenet21k
    from fine2coarse.input.augmentation import train_image
    from fine2coarse.recipes.phase_spec import AugmentSpec

    augment = AugmentSpec(crop="inception", flip=True)
    builder = Imagenet21k(config="present_level0", data_dir=data_dir)
    decoders = {"image": tfds.decode.SkipDecoding()} if side == "ours" else None
    examples = builder.as_dataset(split="train", decoders=decoders, shuffle_files=True)

    def prepare(index, example):
        seed = tf.stack([index, tf.constant(0, tf.int64)])
        return train_image(example["image"], seed, SIZE_PX, augment), example["label"]

    batches = (
        examples.repeat()
        .enumerate()
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(BATCH_SIZE, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return iter(batches)


def torch_batches(side: str, image_dir: pathlib.Path):
    """Endless batches of a PyTorch side."""
    import math
    import random

    import numpy as np
    import torch
    from PIL import Image

    class Crops(torch.utils.data.Dataset):
        """Image files with torchvision's RandomResizedCrop and flip, by PIL."""

        def __init__(self) -> None:
            self.paths = sorted(image_dir.glob("*/*"))

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int):
            with Image.open(self.paths[index]) as file:
                image = file.convert("RGB")
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

    loader = torch.utils.data.DataLoader(
        Crops(),
        BATCH_SIZE,
        shuffle=True,
        num_workers=2 if "2" in side else 1,
        drop_last=True,
        persistent_workers=True,
    )
    while True:
        yield from loader


def time_side(side: str, folder: pathlib.Path, num_batches: int) -> None:
    """Runs one side and prints what it took."""
    from _sides import cpu_seconds as cpu

    is_torch = side in TORCH_SIDES
    batches = torch_batches(side, folder / "images") if is_torch else tf_batches(side, folder)
    for _ in range(WARM_UP_BATCHES):
        next(batches)
    began, cpu_began = time.perf_counter(), cpu()
    for _ in range(num_batches):
        next(batches)
    seconds, cpu_seconds = time.perf_counter() - began, cpu() - cpu_began
    num_images = num_batches * BATCH_SIZE
    print(json.dumps({"num_images": num_images, "seconds": seconds, "cpu_seconds": cpu_seconds}))


def has_torch(python: str) -> bool:
    """Whether a Python has what the PyTorch sides need."""
    command = [python, "-c", "import torch, numpy, PIL, psutil"]
    return subprocess.run(command, capture_output=True).returncode == 0


def make_data(archive: pathlib.Path, folder: pathlib.Path, num_images: int, width_px: int) -> None:
    """Prepares the images for both kinds of sides."""
    from _sides import images_in, make_archive

    from fine2coarse.datasets.imagenet21k import Imagenet21k
    from fine2coarse.datasets.leveled import PrepareConfig

    source = folder / "source" / "fall11_whole.tar"
    source.parent.mkdir()
    make_archive(archive, source, num_images, width_px)
    for name, data in images_in(source):
        path = folder / "images" / name.split("_")[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    builder = Imagenet21k(config="present_level0", data_dir=folder)
    config = PrepareConfig(manual_dir=source.parent, num_validation=0, num_shards=4)
    builder.download_and_prepare(download_config=config)


def main() -> None:
    """Runs all sides in turn, several times, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=pathlib.Path)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--num_images", type=int, default=4000)
    parser.add_argument("--width_px", type=int, default=500, help="as they are where 0")
    parser.add_argument("--num_batches", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=TF_SIDES + TORCH_SIDES, help="for the program itself")
    parser.add_argument("--folder", type=pathlib.Path, help="for the program itself")
    arguments = parser.parse_args()
    if arguments.side:
        time_side(arguments.side, arguments.folder, arguments.num_batches)
        return
    from _sides import Measured, report, run_side

    if arguments.archive is None:
        parser.error("--archive=FILE: a tar of per-synset tars")
    sides = dict.fromkeys(TF_SIDES, sys.executable)
    if has_torch(arguments.torch_python):
        sides |= dict.fromkeys(TORCH_SIDES, arguments.torch_python)
    else:
        print(f"left out: {arguments.torch_python} has no torch, numpy, Pillow and psutil")
    results: dict[str, list[Measured]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_data(arguments.archive, folder, arguments.num_images, arguments.width_px)
        for _ in range(arguments.repeats):
            for side, python in sides.items():
                command = [python, __file__, f"--side={side}", f"--folder={folder}"]
                results[side].append(run_side([*command, f"--num_batches={arguments.num_batches}"]))
    report(results, "ours")


if __name__ == "__main__":
    main()
