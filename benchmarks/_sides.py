"""What the benchmarks share: sides run as processes of their own, measured from outside."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import psutil

_POLL_SECONDS = 0.25  # adding up the pages of gigabytes takes some time itself
_GRAIN = 14.0
"""Standard deviation of the grain, of 255."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run of one side.

    Attributes:
      num_images: handled while the clock ran.
      seconds: wall time of that, as the side itself took it.
      cpu_seconds: of that, over all its processes.
      peak_bytes: most memory of all its processes together; pages that they share count once.
      first_batch_seconds: from opening the data to the first batch; 0 where there are no batches.
      idle_cores: of the machine, that neither the side nor other programs used meanwhile.
    """

    num_images: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    first_batch_seconds: float = 0.0
    idle_cores: float = 0.0

    @property
    def images_per_second(self) -> float:
        """By the wall's clock."""
        return self.num_images / self.seconds

    @property
    def images_per_cpu_second(self) -> float:
        """What one core does, however busy the machine is with other things."""
        return self.num_images / self.cpu_seconds

    @property
    def cores_used(self) -> float:
        """Cores at work while the clock ran, on average."""
        return self.cpu_seconds / self.seconds

    @property
    def share_of_free_cores(self) -> float:
        """Cores at work for the side, of those that no other program used."""
        return self.cores_used / (self.cores_used + self.idle_cores)


def run_side(command: Sequence[str]) -> Measured:
    """Runs a side, whose last line of output is JSON: the fields of `Measured` but the peak."""
    result, peak_bytes = run_json(command)
    return Measured(peak_bytes=peak_bytes, **result)


def run_json(command: Sequence[str]) -> tuple[dict, int]:
    """Runs a program whose last line of output is JSON: what it says, and its peak memory."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    )
    peak = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, peak))
    watcher.start()
    output, errors = process.communicate()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{errors[-3000:]}")
    return json.loads(output.strip().splitlines()[-1]), peak[0]


def _watch(pid: int, peak: list[int]) -> None:
    while True:
        try:
            root = psutil.Process(pid)
            if root.status() == psutil.STATUS_ZOMBIE:
                return
            peak[0] = max(peak[0], sum(map(_memory, [root, *root.children(recursive=True)])))
        except psutil.NoSuchProcess:
            return
        time.sleep(_POLL_SECONDS)


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def cpu_seconds() -> float:
    """CPU time so far of this process, of those it started that live, and of all their children."""
    process = psutil.Process()
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def timed(work: Callable[[], object], num_images: int) -> dict[str, float]:
    """Does some work in this process; returns fields of `Measured`."""
    idle_began, cpu_began, began = _idle_seconds(), cpu_seconds(), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return {
        "num_images": num_images,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - cpu_began,
        "idle_cores": (_idle_seconds() - idle_began) / seconds,
    }


def _idle_seconds() -> float:
    """Of all cores of the machine, since it started."""
    times = psutil.cpu_times()
    return times.idle + getattr(times, "iowait", 0.0)


def report(results: Mapping[str, Sequence[Measured]], ours: str | Sequence[str]) -> None:
    """Prints each side's median and the ratios of ours to each reference, with their spread.

    Args:
      results: runs of each side, in turns.
      ours: name of our side, or of several; the other sides are the references.
    """
    ours = [ours] if isinstance(ours, str) else list(ours)
    has_batches = any(run.first_batch_seconds for runs in results.values() for run in runs)
    width = max(map(len, results))
    first = "  first batch s" if has_batches else ""
    idle = "  idle" if has_batches else ""
    print(f"{'side':{width}}  images/s  images/CPU-s  cores{idle}  peak MiB{first}")
    for side, runs in results.items():
        seconds = _median(runs, "first_batch_seconds")
        print(
            f"{side:{width}}  {_median(runs, 'images_per_second'):8.0f}  "
            f"{_median(runs, 'images_per_cpu_second'):12.0f}  {_median(runs, 'cores_used'):5.2f}"
            + (f"  {_median(runs, 'idle_cores'):4.2f}" if has_batches else "")
            + f"  {_median(runs, 'peak_bytes') / 2**20:8.0f}"
            + (f"  {seconds:13.1f}" if has_batches else "")
        )
    pairs = [(mine, side) for mine in ours for side in results if side not in ours]
    width = max(len(f"{mine} / {side}") for mine, side in pairs)
    print(f"{'ratio':{width}}  {'images/s':19}  images/CPU-s  ({len(results[ours[0]])} runs)")
    for mine, side in pairs:
        ratios = [
            ratio(results[mine], results[side], what)
            for what in ("images_per_second", "images_per_cpu_second")
        ]
        print(f"{f'{mine} / {side}':{width}}  {ratios[0]:19}  {ratios[1]}")


def ratio(
    ours: Sequence[Measured], others: Sequence[Measured], what: str = "images_per_second"
) -> str:
    """Median, lowest and highest ratio over the turns."""
    found = [getattr(one, what) / getattr(other, what) for one, other in zip(ours, others)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def ratio_in_turns(ours: Sequence[float], others: Sequence[float], turn: str) -> str:
    """The ratio of the sums of two sides that took turns, its interval, and how the turns spread.

    The interval is a bootstrap's over the turns, of 95 % (BCa, SciPy's default).
    """
    from scipy import stats  # which the other sides' environments need not have

    found = stats.bootstrap(
        (ours, others),
        lambda ours, others, axis=-1: np.sum(ours, axis) / np.sum(others, axis),
        paired=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    ratios = np.divide(ours, others)
    return (
        f"ratio {sum(ours) / sum(others):.3f} (95 % interval {found.low:.3f} to {found.high:.3f}; "
        f"median {turn} {np.median(ratios):.3f}, {ratios.min():.3f} to {ratios.max():.3f}, "
        f"{len(ratios)} {turn}s)"
    )


def _median(runs: Sequence[Measured], what: str) -> float:
    return statistics.median(getattr(run, what) for run in runs)


def images_in(archive: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the images in a tar of per-synset tars."""
    with tarfile.open(archive) as outer:
        for inner in outer:
            with tarfile.open(fileobj=io.BytesIO(outer.extractfile(inner).read())) as tar:
                for member in tar:
                    yield member.name, tar.extractfile(member).read()


def enlarged(data: bytes, size_px: tuple[int, int]) -> bytes:
    """A JPEG enlarged to the size of a photograph (width, height), quality 90.

    Grain is added, or the file would be far smaller and faster to decode than a photograph's:
    ImageNet's are 92 kB on average (1.31 TB by 14,197,122).
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        resized = image.convert("RGB").resize(size_px, Image.Resampling.BICUBIC)
        large = np.asarray(resized, np.float32)
    grain = np.random.default_rng(len(data)).normal(0, _GRAIN, (*large.shape[:2], 1))
    stream = io.BytesIO()
    Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8)).save(
        stream, "JPEG", quality=90
    )
    return stream.getvalue()


def make_archive(source: pathlib.Path, target: pathlib.Path, count: int, width_px: int) -> int:
    """Writes `count` images, enlarged where `width_px` is not 0, as a tar of per-synset tars.

    Returns:
      How many images there are in it.
    """
    by_synset: dict[str, list[tuple[str, bytes]]] = {}
    step = max(1, 40_000 // count)  # so that all synsets take part
    for number, (name, data) in enumerate(images_in(source)):
        if number % step == 0 and number // step < count:
            image = enlarged(data, (width_px, width_px * 3 // 4)) if width_px else data
            by_synset.setdefault(name.split("_")[0], []).append((name, image))
    with tarfile.open(target, "w") as outer:
        for synset, files in by_synset.items():
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode="w") as inner:
                for name, data in files:
                    _add(inner, name, data)
            _add(outer, f"{synset}.tar", stream.getvalue())
    return sum(map(len, by_synset.values()))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))
