"""Whether a host's cores keep accelerators busy, extrapolated from what `input.py` measured.

  python benchmarks/input.py --archive=FILE --out=input.json
  python benchmarks/full_scale.py --results=input.json
  python benchmarks/full_scale.py --results=input.json --num_cores=48

A host with N cores is taken to read N times the measured images per CPU second, times the share
that the side used of the measured machine's cores (of those that no other program used). So it
assumes that cores are alike, that memory and disk (or the network) keep up, and that nothing but
input uses the cores; none of it was measured on such a host. What accelerators need is their
training throughput at 224 px in mixed precision, as published; where none was found, the estimate
of `configs/throughput.csv` for one chip, times their number.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

from _sides import Measured, ratio

ROOT = pathlib.Path(__file__).resolve().parents[1]
DATASETS = {"iNat2021": 2_686_843, "ImageNet-21k (fall11)": 14_197_122}
"""Training images."""
OURS = "ours, "
BACKBONES = ("resnet50", "vit_b16")


@dataclasses.dataclass(frozen=True)
class Machine:
    """Accelerators of one host.

    Attributes:
      name: as the table shows it.
      device: their name in `configs/throughput.csv`.
      count: how many.
    """

    name: str
    device: str
    count: int


MACHINES = (Machine("8 × A100", "NVIDIA A100", 8), Machine("TPU v5e-8", "TPU v5e chip", 8))
PUBLISHED = {
    ("8 × A100", "resnet50"): (
        16_621,
        "NVIDIA/DeepLearningExamples, PyTorch/Classification/ConvNets/resnet50v1.5/README.md: DGX "
        "A100 (8x A100 80GB), mixed precision",
    ),
    ("8 × A100", "vit_b16"): (
        3_583,
        "PaddlePaddle/PLSC, task/classification/vit/README.md: ViT-B_16_224, pretrain, A100*N1C8",
    ),
}
"""Images a second of a whole machine, and who says so."""


@dataclasses.dataclass(frozen=True)
class Need:
    """What a machine trains.

    Attributes:
      machine: its name.
      backbone: which.
      images_per_second: trained.
      source: of that number.
    """

    machine: str
    backbone: str
    images_per_second: float
    source: str


def needs() -> list[Need]:
    """Of each machine and backbone: the published throughput, else the estimate."""
    from fine2coarse.recipes.backbone_list import list_backbones
    from fine2coarse.studies.throughput import device_hours, read_throughputs

    table = read_throughputs(ROOT / "configs" / "throughput.csv")
    flops = {backbone.name: backbone.train_flops for backbone in list_backbones()}
    found = []
    for machine in MACHINES:
        for backbone in BACKBONES:
            if (machine.name, backbone) in PUBLISHED:
                found.append(Need(machine.name, backbone, *PUBLISHED[machine.name, backbone]))
                continue
            [row] = [
                row
                for row in device_hours(
                    table,
                    backbone=backbone,
                    image_size_px=224,
                    precision="mixed_bfloat16",
                    num_images=1,
                    train_flops_per_image=flops[backbone],
                )
                if row.device == machine.device
            ]
            rate = row.images_per_second * machine.count
            source = "no published rate was found; estimate of configs/throughput.csv"
            found.append(Need(machine.name, backbone, rate, source))
    return found


def rate_a_core(runs: Sequence[Measured]) -> tuple[float, float]:
    """Images per CPU second, and the share of the free cores that were used; medians over runs."""
    rate = statistics.median(run.images_per_cpu_second for run in runs)
    return rate, statistics.median(run.share_of_free_cores for run in runs)


def measured(results: Mapping, count: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what was measured over a number of images."""
    size = results["sizes"][count]
    sides = read_sides(size)
    ours = [side for side in sides if side.startswith(OURS)]
    headings = [
        "side",
        "images/s",
        "images/CPU-s",
        "cores",
        "of free",
        "peak MiB",
        "first batch, s",
    ]
    headings += [f"{side} / it" for side in ours] + ["Python's lock, µs an image"]
    rows = []
    for side, runs in sides.items():
        lock = size["lock"].get(side.removeprefix(OURS))
        rows.append(
            [
                side,
                *(
                    f"{statistics.median(getattr(run, name) for run in runs):,.{digits}f}"
                    for name, digits in (
                        ("images_per_second", 0),
                        ("images_per_cpu_second", 0),
                        ("cores_used", 2),
                    )
                ),
                f"{rate_a_core(runs)[1]:.0%}",
                f"{statistics.median(run.peak_bytes for run in runs) / 2**20:,.0f}",
                f"{statistics.median(run.first_batch_seconds for run in runs):.1f}",
                *("" if side in ours else ratio(sides[mine], runs) for mine in ours),
                f"{lock['total_us']:.1f}" if lock else "",
            ]
        )
    return headings, rows


def read_sides(size: Mapping) -> dict[str, list[Measured]]:
    """The runs of each side of a size."""
    return {side: [Measured(**run) for run in runs] for side, runs in size["sides"].items()}


def host(results: Mapping, count: str, num_cores: int) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what a host reads."""
    headings = ["side", "images/s", *(f"{name}, minutes a pass" for name in DATASETS)]
    rows = []
    for side, runs in read_sides(results["sizes"][count]).items():
        rate, share = rate_a_core(runs)
        total = rate * share * num_cores
        minutes = [f"{num_images / total / 60:,.1f}" for num_images in DATASETS.values()]
        rows.append([side, f"{total:,.0f}", *minutes])
    return headings, rows


def compared(results: Mapping, count: str, num_cores: int) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: what accelerators need, in images and cores, and of it the host's."""
    rates = {}
    for side, runs in read_sides(results["sizes"][count]).items():
        if side.startswith(OURS):
            rate, share = rate_a_core(runs)
            rates[side.removeprefix(OURS)] = rate * share
    headings = ["accelerators", "backbone", "images/s"]
    headings += [f"cores, {storage}" for storage in rates]
    headings += [f"host / need, {storage}" for storage in rates]
    rows = [
        [
            need.machine,
            need.backbone,
            f"{need.images_per_second:,.0f}",
            *(f"{need.images_per_second / rate:,.1f}" for rate in rates.values()),
            *(f"{num_cores * rate / need.images_per_second:.2f}" for rate in rates.values()),
        ]
        for need in needs()
    ]
    return headings, rows


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    lines = [headings, ["---"] * len(headings), *rows]
    cells = [[f"| {cell} " if cell else "| " for cell in line] for line in lines]
    return "\n".join("".join(line) + "|" for line in cells)


def print_tables(results: Mapping, num_cores: int, draw: Callable[..., str]) -> None:
    """What was measured, what a host reads, and what machines need."""
    print(
        f"{results['num_cores']} cores, {results['date']}: {results['num_batches']} batches of "
        f"{results['batch_size']}, medians of {results['repeats']} runs; ratios of images/s "
        "(lowest to highest)"
    )
    for count, size in results["sizes"].items():
        print(
            f"\n{int(count):,} images in {size['num_shards']} shards, "
            f"{size['mean_bytes'] / 1e3:.1f} kB each:\n"
        )
        print(draw(*measured(results, count)))
    largest = max(results["sizes"], key=int)
    print(f"\nExtrapolated to {num_cores} cores, from the runs over {int(largest):,} images:\n")
    print(draw(*host(results, largest, num_cores)))
    print("\nWhat accelerators train at 224 px, and cores that read as much:\n")
    print(draw(*compared(results, largest, num_cores)))
    print("\nSources:\n")
    for need in needs():
        print(f"- {need.machine}, {need.backbone}: {need.source}")


def main() -> None:
    """Reads the results and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--results", type=pathlib.Path, required=True, help="of input.py --out")
    parser.add_argument("--num_cores", type=int, default=96, help="of the host")
    parser.add_argument("--markdown", action="store_true", help="tables as a page has them")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from fine2coarse.terminal import table

    results = json.loads(arguments.results.read_text("utf-8"))
    print_tables(results, arguments.num_cores, markdown if arguments.markdown else table)


if __name__ == "__main__":
    main()
