"""Preparing ImageNet-21k: ours, which checks every image, against TFDS's sequential writer.

    python benchmarks/prepare.py --archive=../shared/data/imagenet21k_mini/fall11_whole.tar
    python benchmarks/prepare.py --archive=... --num_images=8000 --width_px=500

Both programs read the same tar of per-synset tars and write the same examples, shuffled, to the
same disk. Each run is a process of its own; starting it is not timed, starting its workers is.
Needs psutil, and Pillow where images are enlarged.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile
import time

from _sides import Measured, cpu_seconds, images_in, make_archive, report, run_side

SIDES = ("ours, 2 workers", "ours, 1 worker", "TFDS's writer")


def time_side(side: str, archive: pathlib.Path, data_dir: pathlib.Path) -> None:
    """Runs one side and prints what it took."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.io.decode_jpeg(tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)))  # TensorFlow is awake
    builder, config = tfds_side(archive, data_dir) if "TFDS" in side else our_side(side, data_dir)
    began, cpu_began = time.perf_counter(), cpu_seconds()
    builder.download_and_prepare(download_config=config(archive.parent))
    seconds, cpu = time.perf_counter() - began, cpu_seconds() - cpu_began
    num_images = sum(split.num_examples for split in builder.info.splits.values())
    print()
    print(json.dumps({"num_images": num_images, "seconds": seconds, "cpu_seconds": cpu}))


def our_side(side: str, data_dir: pathlib.Path):
    """Our builder."""
    from fine2coarse.datasets.imagenet21k import Imagenet21k
    from fine2coarse.datasets.leveled import PrepareConfig

    num_workers = 2 if "2" in side else 1
    builder = Imagenet21k(config="present_level0", data_dir=data_dir)
    return builder, lambda folder: PrepareConfig(manual_dir=folder, num_workers=num_workers)


def tfds_side(archive: pathlib.Path, data_dir: pathlib.Path):
    """The same examples by a plain `GeneratorBasedBuilder`, which checks nothing."""
    import tensorflow_datasets as tfds

    synsets = sorted({name.split("_")[0] for name, _ in images_in(archive)})

    class Plain(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "image_id": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=synsets),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for name, data in images_in(archive):
                yield name, {"image": data, "image_id": name, "label": name.split("_")[0]}

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    return Plain(data_dir=data_dir), lambda folder: config


def main() -> None:
    """Runs all sides in turn, several times, and prints the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=pathlib.Path, required=True)
    parser.add_argument("--num_images", type=int, default=0, help="of the archive; all where 0")
    parser.add_argument("--width_px", type=int, default=0, help="enlarge to; as they are where 0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help="used by the program itself")
    parser.add_argument("--data_dir", type=pathlib.Path, help="used by the program itself")
    arguments = parser.parse_args()
    if arguments.side:
        time_side(arguments.side, arguments.archive, arguments.data_dir)
        return
    results: dict[str, list[Measured]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        archive = pathlib.Path(folder) / "source" / "fall11_whole.tar"
        archive.parent.mkdir()
        count = make_archive(
            arguments.archive, archive, arguments.num_images or 40_000, arguments.width_px
        )
        print(f"{count} images, {archive.stat().st_size / count / 1024:.1f} KiB each")
        for _ in range(arguments.repeats):
            for side in SIDES:
                data_dir = pathlib.Path(folder) / "data"
                command = [sys.executable, __file__, f"--archive={archive}", f"--side={side}"]
                results[side].append(run_side([*command, f"--data_dir={data_dir}"]))
                shutil.rmtree(data_dir)
    report(results, SIDES[0])


if __name__ == "__main__":
    main()
