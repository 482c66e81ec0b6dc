"""Hours on GPUs and TPUs, from a table of how many images a second they train."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Sequence

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.text_tables import TableError, read_records

COLUMNS = (
    "device",
    "precision",
    "backbone",
    "min_image_size_px",
    "images_per_second",
    "peak_tflops",
    "utilisation",
    "source",
)
ANY = "any"


class ThroughputError(UsageError):
    """A throughput table that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Throughput:
    """One row of the table: a published rate, or what to estimate one from.

    Attributes:
      device: one chip or GPU.
      precision: 'float32', 'mixed_bfloat16' or 'any'.
      backbone: name, or how it begins.
      min_image_size_px: smaller images fill a device too badly for the row to hold.
      images_per_second: trained at 224 px; None where it is to be estimated.
      peak_tflops: of the device at this precision, in 10¹² floating-point operations a second.
      utilisation: share of the peak that training reaches.
      source: where the numbers come from.
    """

    device: str
    precision: str
    backbone: str
    min_image_size_px: int
    images_per_second: float | None
    peak_tflops: float | None
    utilisation: float | None
    source: str

    def fits(self, backbone: str, image_size_px: int, precision: str) -> bool:
        """Whether the row says something of this training."""
        return (
            backbone.startswith(self.backbone)
            and self.precision in (ANY, precision)
            and image_size_px >= self.min_image_size_px
            and (self.images_per_second is None or image_size_px == 224)
        )

    def rate(self, train_flops_per_image: int | None) -> float | None:
        """Images a second; None where the FLOPs that an estimate needs are unknown."""
        if self.images_per_second is not None:
            return self.images_per_second
        if not train_flops_per_image:
            return None
        return self.peak_tflops * 1e12 * self.utilisation / train_flops_per_image


def read_throughputs(path: pathlib.Path) -> list[Throughput]:
    """Reads a table in CSV (see `taxonomy.text_tables`); rows that begin with # are comments.

    Raises:
      ThroughputError: naming the row at fault, comments counted.
    """
    try:
        records = read_records(path.read_bytes(), str(path), COLUMNS, comments=True)
    except TableError as error:
        raise ThroughputError(str(error)) from error
    return [_parse(row, f"{path}: row {number}") for number, row in records]


def _parse(row: dict[str, str], where: str) -> Throughput:
    rate, peak, share = (
        _positive(row[name], f"{where}: {name}") if row[name] else None
        for name in ("images_per_second", "peak_tflops", "utilisation")
    )
    size = row["min_image_size_px"]
    if not size.isdecimal():
        raise ThroughputError(f"{where}: min_image_size_px: expected a whole number, got {size!r}")
    if rate is None and (not peak or not share):
        raise ThroughputError(
            f"{where}: give images_per_second, or peak_tflops and utilisation to estimate it from"
        )
    return Throughput(
        row["device"],
        row["precision"],
        row["backbone"],
        int(size),
        rate,
        peak,
        share,
        row["source"],
    )


def _positive(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise ThroughputError(
            f"{where}: expected a number above 0, with a point before decimals, got {text!r}"
        )
    return number


@dataclasses.dataclass(frozen=True)
class DeviceHours:
    """How long one device would train.

    Attributes:
      device: which.
      hours: of one such device.
      images_per_second: that it is estimated with.
      is_estimate: whether that comes from FLOPs instead of a published measurement.
    """

    device: str
    hours: float
    images_per_second: float
    is_estimate: bool


def device_hours(
    table: Sequence[Throughput],
    *,
    backbone: str,
    image_size_px: int,
    precision: str,
    num_images: int,
    train_flops_per_image: int | None,
) -> list[DeviceHours]:
    """Hours of training on each device that the table knows for this backbone.

    A published rate goes before an estimate, and a backbone's own row before its family's.
    """
    best: dict[str, Throughput] = {}
    for row in table:
        if row.fits(backbone, image_size_px, precision):
            before = best.get(row.device)
            if before is None or _rank(row) > _rank(before):
                best[row.device] = row
    found = []
    for device, row in best.items():
        rate = row.rate(train_flops_per_image)
        if rate:
            hours = num_images / rate / 3600
            found.append(DeviceHours(device, hours, rate, row.images_per_second is None))
    return found


def _rank(row: Throughput) -> tuple[bool, int]:
    return row.images_per_second is not None, len(row.backbone)
