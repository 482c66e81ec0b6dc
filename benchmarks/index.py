"""Label spaces and a study's plan over an index of the size of ImageNet-21k: seconds and memory.

  python benchmarks/index.py                    (14.2 million images, 21,843 leaves, 2,048 shards)
  python benchmarks/index.py --num_images=1000000

The index is fabricated: ids as ImageNet's, leaves and sizes at random, and no image behind it. Each
step is a process of its own. Its line tells seconds and the highest resident memory; of that,
anonymous memory is what the machine must have, the rest being pages of the index that the system
may drop. What a step needs before it begins (imports, taxonomy, opened index) is not timed; of the
anonymous memory, what there was before is told besides.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

NUM_LEAVES, NUM_SHARDS, NUM_TARGETS, NUM_CLASSES = 21_843, 2_048, 1_000, 21_841
_TEST_SHARE = 561_052 / 14_200_000
_POLL_SECONDS = 0.01
_CHUNK = 1 << 20
_STORED = "index.json"


def fabricate(folder: pathlib.Path, num_images: int) -> None:
    """Writes an index of two splits and the digests of their images, as a preparation does."""
    from fine2coarse.image_ids import ImageIds
    from fine2coarse.preparation.contents import SplitContents, write_contents
    from fine2coarse.preparation.record_index import SplitIndex, record_places, write_index
    from fine2coarse.taxonomy import read_wordnet

    leaf_ids = np.asarray(read_wordnet().leaf_ids, "S9")
    random = np.random.default_rng(0)
    num_test = max(NUM_TARGETS, round(_TEST_SHARE * num_images))
    splits, contents = {}, {}
    for split, begin, count in (
        ("train", 0, num_images - num_test),
        ("validation", num_images - num_test, num_test),
    ):
        labels = random.integers(0, NUM_LEAVES, count, np.int32)
        labels[:NUM_LEAVES] = np.arange(min(count, NUM_LEAVES))  # every leaf has an image
        ids = np.empty(count, "S18")
        for first in range(0, count, _CHUNK):
            part = slice(first, min(first + _CHUNK, count))
            numbers = np.arange(begin + part.start, begin + part.stop).astype("S8")
            ids[part] = np.strings.add(np.strings.add(leaf_ids[labels[part]], b"_"), numbers)
        sizes = random.integers(20_000, 200_000, count, np.int32)
        lengths = np.bincount(np.arange(count) * NUM_SHARDS // count, minlength=NUM_SHARDS)
        shard, offset = record_places(sizes, lengths, "tfrecord")
        splits[split] = SplitIndex(ImageIds(ids), labels, None, shard, offset, sizes)
        digests = random.integers(0, 2**63, (count, 2), np.int64).astype(np.uint64)
        contents[split] = SplitContents(digests, "0" * 64)
    write_contents(folder, contents)
    write_index(folder, splits)


@functools.cache
def _wordnet():
    """The taxonomy of ImageNet-21k, which is not what is measured."""
    from fine2coarse.taxonomy import read_wordnet

    return read_wordnet()


@functools.cache
def _shard_names(folder: pathlib.Path, split: str) -> tuple[str, ...]:
    """TFDS keeps its own."""
    return tuple(str(folder / f"{split}-{shard:05d}") for shard in range(NUM_SHARDS))


class Fabricated:
    """The fabricated data, with what a study asks of a `PreparedDataset`."""

    name, fingerprint, file_format = "fabricated/default/1.0.0", "f" * 64, "tfrecord"

    def __init__(self, folder: pathlib.Path) -> None:
        from fine2coarse.preparation.contents import read_contents
        from fine2coarse.preparation.record_index import read_index

        told = json.loads((folder / _STORED).read_text(encoding="utf-8"))["splits"]
        self.splits = {name: split["num_examples"] for name, split in told.items()}
        self._folder = folder
        self._indexes = read_index(folder, self.splits)
        self._contents = read_contents(folder, self.splits)
        self.taxonomy = _wordnet()

    def index(self, split: str):
        """Ids, labels and places of a split."""
        return self._indexes[split]

    def digests(self, split: str) -> np.ndarray:
        """uint64 [N, 2]."""
        return self._contents[split].digests

    def paths(self, split: str) -> tuple[str, ...]:
        """Names of the shards, which are not there."""
        return _shard_names(self._folder, split)

    def preparation(self) -> None:
        """Nothing is known of one."""

    def context(self, target: Any = None):
        """What label spaces of both splits are made for."""
        import dataclasses

        from fine2coarse.studies.label_spaces import indexed_context

        return dataclasses.replace(indexed_context(self, "train"), target=target)


def make_target(dataset: Fabricated):
    """A label space of 1,000 classes, each of every thousandth leaf."""
    from fine2coarse.labels.space import LabelSpace

    names = tuple(f"target{number}" for number in range(NUM_TARGETS))
    table = (np.arange(NUM_LEAVES) % NUM_TARGETS)[:, None]
    fingerprint = dataset.taxonomy.fingerprint
    return LabelSpace(names, names, table, name="target", dataset_fingerprint=fingerprint)


def recipe_of(folder: pathlib.Path, dataset: Fabricated):
    """A study of 7 arms, five of which label every image on its own, and 3 seeds."""
    from fine2coarse.recipes.recipe import Recipe

    make_target(dataset).save(folder / "target.npz")
    leaves = {"source": "level", "options": {"level": "0"}}
    count = len(dataset.index("train").image_ids)
    arms = {
        "leaves": leaves,
        "level4": {"source": "level", "options": {"level": "4", "rule": "first"}},
        "random": {"source": "random", "options": {"num_classes": NUM_CLASSES}},
        "unaligned": {"source": "random", "options": {"num_classes": 1_000, "aligned": False}},
        "like": {"source": "random", "options": {"like": leaves}},
        "noisy": {"source": "corrupted", "options": {"base": leaves, "share": 0.2}},
        "half": {
            "source": "size_matched",
            "options": {"base": leaves, "num_images_total": count // 2},
        },
    }
    phase = {"total_steps": 10, "batch_size": 8, "optimizer": {"warmup_steps": 1}}
    return Recipe.from_config(
        {
            "dataset": {
                "name": "fabricated",
                "train_split": "train",
                "eval_split": "validation",
                "storage": "disk",
            },
            "target": {"source": "file", "options": {"path": str(folder / "target.npz")}},
            "arms": arms,
            "seeds": [0, 1, 2],
            "backbone": {"name": "mlp_B_2-Wi_64", "image_size_px": 8},
            "pretrain": phase,
            "transfer": phase,
        }
    )


Step = Callable[[], Mapping[str, Any]]


def opening(folder: pathlib.Path) -> Step:
    """Opens both splits as a study does, whose images stay on the disk."""
    from fine2coarse.recipes.recipe import DatasetSpec
    from fine2coarse.studies.storage import open_examples

    spec = DatasetSpec("fabricated", storage="disk")

    _wordnet()

    def step() -> Mapping[str, Any]:
        dataset = Fabricated(folder)
        examples = [open_examples(dataset, split, spec) for split in dataset.splits]
        return {"images": sum(map(len, examples))}

    return step


def level_space(folder: pathlib.Path) -> Step:
    """Makes a level's label space, and labels all images with it."""
    from fine2coarse.labels import sources

    dataset = Fabricated(folder)

    def step() -> Mapping[str, Any]:
        context = dataset.context()
        space = sources.level(context.taxonomy, "4", "first")
        labels = context.images.labels(space)
        return {"classes": space.num_classes, "images": len(labels)}

    return step


def random_space(folder: pathlib.Path) -> Step:
    """Draws random ids within 1,000 target classes, with fingerprint and the training labels."""
    from fine2coarse.labels import sources

    dataset = Fabricated(folder)
    target = make_target(dataset)

    def step() -> Mapping[str, Any]:
        images = dataset.context().images
        space = sources.random_ids(images, NUM_CLASSES, within=target, seed=0)
        train = dataset.index("train")
        labels = space.lookup(train.labels, train.image_ids)
        return {
            "classes": space.num_classes,
            "images": len(space.table),
            "labelled": int((labels >= 0).sum()),
            "fingerprint": space.fingerprint[:12],
        }

    return step


def held_out(folder: pathlib.Path) -> Step:
    """Chooses a tenth of the training images by their ids."""
    from fine2coarse.input.image_shares import select_share

    dataset = Fabricated(folder)
    return lambda: {"held_out": int(select_share(dataset.index("train").image_ids, 0.1).sum())}


def class_map(folder: pathlib.Path) -> Step:
    """Counts which targets 21,841 random classes belong to."""
    from fine2coarse.labels.class_map import ClassMap

    dataset = Fabricated(folder)
    labels = np.random.default_rng(0).integers(0, NUM_CLASSES, dataset.splits["train"], np.int32)
    targets = np.asarray(dataset.index("train").labels) % NUM_TARGETS

    def step() -> Mapping[str, Any]:
        found = ClassMap.from_labels(labels[:, None], targets, (NUM_CLASSES, NUM_TARGETS))
        return {"entries": len(found.classes)}

    return step


def plan(folder: pathlib.Path) -> Step:
    """Loads a study of 7 arms and 3 seeds: all label spaces are made and checked, none kept."""
    from fine2coarse.studies.study_data import load_study_data

    dataset = Fabricated(folder)
    recipe = recipe_of(folder, dataset)

    def step() -> Mapping[str, Any]:
        data = load_study_data(recipe, dataset)
        found = data.spaces.summaries.values()
        return {
            "spaces": len(found),
            "keyed_by_image": sum(one.keyed_by == "image" for one in found),
            "images": len(data.train),
        }

    return step


STEPS = {
    "opening": opening,
    "level": level_space,
    "random ids": random_space,
    "held-out share": held_out,
    "class map": class_map,
    "plan": plan,
}


def _status(field: str) -> int:
    """Bytes of this process: 'RssAnon', anonymous memory now, or 'VmHWM', the most resident.

    0 where the system does not tell. (The highest that `getrusage` tells is the parent's, too.)
    """
    try:
        lines = pathlib.Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    told = dict(line.split(":", 1) for line in lines)
    return int(told[field].split()[0]) * 1024


def run_step(name: str, folder: pathlib.Path) -> None:
    """Does one step in this process and prints what it took, as JSON."""
    step = STEPS[name](folder)
    before, stopped = _status("RssAnon"), threading.Event()
    seen = [before]

    def watch() -> None:
        while not stopped.wait(_POLL_SECONDS):
            seen[0] = max(seen[0], _status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, cpu_started = time.perf_counter(), time.process_time()
    found = step()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    stopped.set()
    watcher.join()
    took = {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": _status("VmHWM"),
        "anonymous_bytes": seen[0],
        "anonymous_bytes_before": before,
        "found": found,
    }
    print(json.dumps(took))


def measure(name: str, folder: pathlib.Path) -> dict[str, Any]:
    """Runs a step in a process of its own."""
    command = [sys.executable, __file__, f"--folder={folder}", f"--step={name}"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Fabricates the index and prints a line for each step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--num_images", type=int, default=14_200_000)
    parser.add_argument("--folder", default="", help="kept there for a later call")
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.num_images < 4 * NUM_LEAVES:
        parser.error(f"expected --num_images of {4 * NUM_LEAVES} or more, got {given.num_images}")
    if given.step:
        run_step(given.step, pathlib.Path(given.folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(given.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _STORED).is_file():
            fabricate(folder, given.num_images)
        print("step            seconds    CPU-s  peak MiB  anonymous MiB  of these before")
        for name in STEPS:
            took = measure(name, folder)
            peak, anonymous, before = (
                took[key] / 2**20
                for key in ("peak_bytes", "anonymous_bytes", "anonymous_bytes_before")
            )
            told = ", ".join(
                f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}"
                for key, value in took["found"].items()
            )
            print(
                f"{name:14} {took['seconds']:8.2f} {took['cpu_seconds']:8.2f}  {peak:8.0f}  "
                f"{anonymous:13.0f}  {before:15.0f}  {told}",
                flush=True,
            )


if __name__ == "__main__":
    main()
