"""Reading training batches: ours from memory, disk and stream, against TFDS and PyTorch.

  python benchmarks/input.py --archive=../shared/data/imagenet21k_mini/fall11_whole.tar
  python benchmarks/input.py --archive=... --num_images=1000,100000 --folder=DIR \\
    --torch_python=VENV/bin/python --out=input.json
  python benchmarks/input.py --archive=... --part=bucket --num_images=10000 --folder=DIR
  python benchmarks/input.py --part=order

Ours are the batches that a phase trains on (`train_batches`, with deterministic operations), for
each `dataset.storage`. Every side reads the same JPEG files (500 by 375 px, a quarter of them
upright, as large as ImageNet's; the archive's pictures, enlarged) from the same TFRecord shards,
takes a random-resized crop to 224 px, flips half of them, and gives batches of 64 float images.
Each run of a side is a process of its own; sides take turns, and before each the operating system
is told to forget the shards. The first batches are not timed.

  ours, STORAGE    memory, disk, stream
  TFDS, defaults   as_dataset(shuffle_files=True), which decodes whole images, then the same crop
  TFDS, best       undecoded, the crop fused into decoding, in any order; the fastest of some
                   settings of ReadConfig, threads and parallel calls, which are tried before
  PIL, N workers   a PyTorch DataLoader, crops by PIL as torchvision has them

"cores" are those that a side uses, "idle" those that nobody uses meanwhile. Then comes how long
Python's lock is held for an image. The other parts:

  bucket   the stream from a simulated bucket: each request takes 50 ms, and 10 ms a megabyte
  order    how alike neighbours of the stream are, against a full shuffle; nothing is read

Needs psutil and Pillow; the PyTorch side needs a Python that has torch, numpy, Pillow and psutil,
and is left out without one. `benchmarks/full_scale.py` extrapolates from what --out writes.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import _input_data
import _input_sides

ROOT = pathlib.Path(__file__).resolve().parents[1]
STORAGES = ("memory", "disk", "stream")
WARM_UP_BATCHES = 20
OURS, DEFAULTS, BEST, TORCH = "ours, ", "TFDS, defaults", "TFDS, best", "PIL, "
# Memory holds the encoded images, and while they are loaded some of them twice.
_MEMORY_FACTOR = 2.5


def time_side(arguments: argparse.Namespace) -> None:
    """Runs one side and prints what it took."""
    from _sides import timed

    start = make_side(arguments.side, arguments.folder, arguments.settings)
    began = time.perf_counter()
    take = start()
    take(1)
    first_batch_seconds = time.perf_counter() - began
    take(arguments.warm_up_batches)
    found = timed(
        lambda: take(arguments.num_batches), arguments.num_batches * _input_sides.BATCH_SIZE
    )
    print(json.dumps({**found, "first_batch_seconds": first_batch_seconds}))


def make_side(side: str, path: pathlib.Path, settings: str) -> _input_sides.Start:
    """A side by its name."""
    if side.startswith(TORCH):
        return _input_sides.torch_side(path, int(side.split()[1]))
    if side.startswith(OURS):
        return _input_sides.our_side(path, side.removeprefix(OURS))
    return _input_sides.tfds_side(path, _input_sides.TfdsSettings(**json.loads(settings)))


class Runner:
    """Runs sides as processes of their own.

    Args:
      arguments: of the program.
      path: the dataset's folder.
    """

    def __init__(self, arguments: argparse.Namespace, path: pathlib.Path) -> None:
        self._arguments, self._path = arguments, path

    def run(self, side: str, num_batches: int, settings: _input_sides.TfdsSettings):
        """One run of a side, after the operating system was told to forget the shards."""
        from _sides import run_side

        _input_data.drop_from_cache(self._path)
        is_torch = side.startswith(TORCH)
        return run_side(
            [
                self._arguments.torch_python if is_torch else sys.executable,
                __file__,
                f"--side={side}",
                f"--folder={self._path}",
                f"--num_batches={num_batches}",
                f"--warm_up_batches={self._arguments.warm_up_batches}",
                f"--settings={json.dumps(dataclasses.asdict(settings))}",
            ]
        )

    def best_tfds_settings(self) -> _input_sides.TfdsSettings:
        """The fastest of TFDS's settings, each tried twice in turns; prints them all."""
        candidates = _input_sides.tfds_candidates()
        if not self._arguments.num_tune_batches:
            return candidates[0]
        rates: dict[_input_sides.TfdsSettings, list[float]] = {one: [] for one in candidates}
        for _ in range(2):
            for one in candidates:
                run = self.run(BEST, self._arguments.num_tune_batches, one)
                rates[one].append(run.images_per_second)
        best = max(candidates, key=lambda one: sum(rates[one]))
        print("TFDS's settings, images/s:")
        for one in candidates:
            told = ", ".join(f"{rate:.0f}" for rate in rates[one])
            print(f"  {told}{'  (best)' if one == best else ''}: {one}")
        return best


def compare(
    arguments: argparse.Namespace,
    path: pathlib.Path,
    num_images: int,
    best: _input_sides.TfdsSettings,
) -> dict:
    """Runs all sides of a dataset in turns, prints them and returns them as plain values."""
    from _sides import Measured, report

    chosen = storages(arguments, path)
    ours = [OURS + storage for storage in chosen]
    sides = [*ours, DEFAULTS, BEST]
    if has_torch(arguments.torch_python):
        sides.append(f"{TORCH}{num_cores()} workers")
    else:
        print(f"left out: {arguments.torch_python} has no torch, numpy, Pillow and psutil")
    settings = {DEFAULTS: _input_sides.TfdsSettings(), BEST: best}
    results: dict[str, list[Measured]] = {side: [] for side in sides}
    runner = Runner(arguments, path)
    for turn in range(arguments.repeats):
        # Every other turn backwards: no side always follows the same one.
        for side in sides if turn % 2 == 0 else reversed(sides):
            run = runner.run(side, arguments.num_batches, settings.get(side, best))
            results[side].append(run)
    shards = _input_data.shard_paths(path)
    mean_bytes = sum(shard.stat().st_size for shard in shards) / num_images
    print(
        f"\n{num_images:,} images, {mean_bytes / 1e3:.1f} kB each, {len(shards)} shards; "
        f"{arguments.num_batches} batches of {_input_sides.BATCH_SIZE}, {arguments.repeats} turns; "
        f"{num_cores()} cores; {datetime.date.today()}"
    )
    print(cache_sentence(path))
    report(results, ours)
    return {
        "num_shards": len(shards),
        "mean_bytes": mean_bytes,
        "sides": {
            side: [dataclasses.asdict(run) for run in runs] for side, runs in results.items()
        },
        "lock": print_lock(arguments, path, chosen),
    }


def cache_sentence(path: pathlib.Path) -> str:
    """How much of the shards lies in memory after the last side, and after forgetting them."""
    after = _input_data.cached_share(path)
    _input_data.drop_from_cache(path)
    before = _input_data.cached_share(path)
    return (
        f"of the shards, {before:.0%} lay in the operating system's memory when a side began, "
        f"{after:.0%} when the last one ended"
    )


def storages(arguments: argparse.Namespace, path: pathlib.Path) -> list[str]:
    """Those asked for whose images fit."""
    import psutil

    num_bytes = sum(shard.stat().st_size for shard in _input_data.shard_paths(path))
    available = psutil.virtual_memory().available
    chosen = arguments.storages.split(",")
    if "memory" in chosen and num_bytes * _MEMORY_FACTOR > available:
        print(
            f"left out: memory, for {num_bytes / 1e9:.1f} GB of images; {available / 1e9:.1f} GB "
            "of memory are available"
        )
        chosen.remove("memory")
    return chosen


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def has_torch(python: str) -> bool:
    """Whether a Python has what the PyTorch side needs."""
    command = [python, "-c", "import torch, numpy, PIL, psutil"]
    return subprocess.run(command, capture_output=True).returncode == 0


def print_lock(
    arguments: argparse.Namespace, path: pathlib.Path, chosen: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Prints how long Python's lock is held for an image of each storage."""
    from _sides import run_json

    found = {}
    for storage in chosen:
        command = [sys.executable, __file__, f"--lock_of={storage}", f"--folder={path}"]
        found[storage], _ = run_json([*command, f"--num_batches={arguments.num_batches}"])
        told = found[storage]
        print(
            f"Python's lock, {storage}: {told['total_us']:.1f} µs an image "
            f"({told['code_us']:.1f} in Python's code, {told['passing_us']:.1f} to pass on what "
            f"it returns; {told['images_a_call']:.0f} images a call)"
        )
    return found


def read(arguments: argparse.Namespace, folder: pathlib.Path) -> dict:
    """All sizes: ours against the references, and Python's lock."""
    paths = prepared(arguments, folder)
    best = Runner(arguments, next(iter(paths.values()))).best_tfds_settings()
    return {
        "date": str(datetime.date.today()),
        "num_cores": num_cores(),
        "batch_size": _input_sides.BATCH_SIZE,
        "num_batches": arguments.num_batches,
        "repeats": arguments.repeats,
        "best_tfds_settings": dataclasses.asdict(best),
        "sizes": {count: compare(arguments, path, count, best) for count, path in paths.items()},
    }


def prepared(arguments: argparse.Namespace, folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The folder of the dataset of each size."""
    if arguments.archive is None:
        sys.exit("--archive=FILE: a tar of per-synset tars")
    counts = [int(count) for count in arguments.num_images.split(",")]
    return {count: _input_data.prepare(arguments.archive, folder, count) for count in counts}


def bucket(arguments: argparse.Namespace, folder: pathlib.Path) -> dict:
    """The stream from a simulated bucket, against what the decoders and the line can do."""
    from _sides import Measured, run_json

    found: dict = {}
    for count, path in prepared(arguments, folder).items():
        runner, settings = Runner(arguments, path), _input_sides.TfdsSettings()
        runs: dict[str, list[Measured]] = {"memory": [], "stream": [], "bucket": []}
        requested = []
        for _ in range(arguments.repeats):
            for storage in ("memory", "stream"):
                run = runner.run(OURS + storage, arguments.num_batches, settings)
                runs[storage].append(run)
            values, peak_bytes = run_json(
                [
                    sys.executable,
                    __file__,
                    f"--bucket_of={path}",
                    f"--num_batches={arguments.num_batches}",
                    f"--warm_up_batches={arguments.warm_up_batches}",
                ]
            )
            fields = {field.name for field in dataclasses.fields(Measured)}
            own = {name: value for name, value in values.items() if name in fields}
            runs["bucket"].append(Measured(peak_bytes=peak_bytes, **own))
            requested.append(values)
        print_bucket(count, runs, requested)
        found[count] = requested
    return {"bucket": found}


def print_bucket(count: int, runs: dict, requested: list[dict]) -> None:
    """What the stream took from the bucket, and what would be possible."""
    from _input_bucket import BYTES_PER_SECOND, LATENCY_SECONDS

    median = statistics.median
    decoders, local, remote = (
        median(run.images_per_second for run in runs[name])
        for name in ("memory", "stream", "bucket")
    )
    request_bytes = median(one["num_bytes"] / max(1, one["num_requests"]) for one in requested)
    image_bytes = median(one["num_bytes"] / one["num_images"] for one in requested)
    at_once = median(one["most_requests_at_once"] for one in requested)
    mean_at_once = median(one["requests_at_once"] for one in requested)
    request_seconds = LATENCY_SECONDS + request_bytes / BYTES_PER_SECOND
    line = at_once * request_bytes / request_seconds / image_bytes
    ideal = min(decoders, line)
    first = median(run.first_batch_seconds for run in runs["bucket"])
    print(
        f"\n{count:,} images from a bucket ({1000 * LATENCY_SECONDS:.0f} ms and "
        f"{BYTES_PER_SECOND / 1e6:.0f} MB/s a request), {len(requested)} runs, medians:\n"
        f"  stream from the bucket     {remote:7.0f} images/s, first batch after {first:.1f} s\n"
        f"  stream from the local disk {local:7.0f} images/s\n"
        f"  decoders, from memory      {decoders:7.0f} images/s\n"
        f"  line                       {line:7.0f} images/s, with {at_once:.0f} requests at once "
        f"of {request_bytes / 1e6:.2f} MB each ({mean_at_once:.1f} at once on average)\n"
        f"  bucket / ideal             {remote / ideal:7.2f}  (ideal: the smaller of decoders and "
        "line)"
    )


def order(arguments: argparse.Namespace, folder: pathlib.Path) -> dict:
    """Prints how alike neighbours of the stream are."""
    del arguments, folder
    import _input_order

    return {"order": _input_order.print_orders()}


def one_process(arguments: argparse.Namespace) -> bool:
    """Does what this process was started for by another one of this program, if it was."""
    if not (arguments.side or arguments.lock_of or arguments.bucket_of):
        return False
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if arguments.side:
        time_side(arguments)
    elif arguments.lock_of:
        import _input_lock

        found = _input_lock.measure(arguments.folder, arguments.lock_of, arguments.num_batches)
        print(json.dumps(found))
    else:
        import _input_bucket

        line = _input_bucket.Bucket(_input_bucket.LATENCY_SECONDS, _input_bucket.BYTES_PER_SECOND)
        found = _input_bucket.measure(
            pathlib.Path(arguments.bucket_of),
            arguments.warm_up_batches,
            arguments.num_batches,
            line,
        )
        print(json.dumps(found))
    return True


PARTS = {"read": read, "bucket": bucket, "order": order}


def main() -> None:
    """Runs the part that is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--part", choices=sorted(PARTS), default="read")
    parser.add_argument("--archive", type=pathlib.Path, help="a tar of per-synset tars")
    parser.add_argument("--num_images", default="1000,100000", help="sizes, with commas between")
    parser.add_argument("--storages", default=",".join(STORAGES))
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--num_batches", type=int, default=150)
    parser.add_argument(
        "--num_tune_batches", type=int, default=60, help="for TFDS's settings; 0: none are tried"
    )
    parser.add_argument("--warm_up_batches", type=int, default=WARM_UP_BATCHES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path, help="keep the images here for other calls")
    parser.add_argument("--out", type=pathlib.Path, help="write the numbers to this JSON file too")
    for name in ("side", "settings", "lock_of", "bucket_of"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)  # for the program itself
    arguments = parser.parse_args()
    unknown = set(arguments.storages.split(",")) - set(STORAGES)
    if unknown:
        parser.error(f"--storages are some of {','.join(STORAGES)}, got {arguments.storages!r}")
    sys.path.insert(0, str(ROOT))
    if one_process(arguments):
        return
    with tempfile.TemporaryDirectory() as name:
        found = PARTS[arguments.part](arguments, arguments.folder or pathlib.Path(name))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
