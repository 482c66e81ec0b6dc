"""What a study's images are: how they were prepared, what was left out, which are there twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

DATA = "data.json"
_NUM_SKIPS_TOLD = 20


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Images that training and test have in common.

    Attributes:
      images: what they were looked for in, e.g. 'demo/default/1.0.0: train'.
      num_images: how many there are.
      num_in_test: of these, how many the test images show too.
      num_dropped: of these, how many are left out of training (`drop_duplicates`).
    """

    images: str
    num_images: int
    num_in_test: int
    num_dropped: int


def describe(datasets: Sequence[PreparedDataset], overlaps: Sequence[Overlap]) -> dict[str, Any]:
    """JSON-able facts for the study's folder and its report."""
    return {
        "preparations": [_preparation(dataset) for dataset in datasets],
        "overlaps": [dataclasses.asdict(overlap) for overlap in overlaps],
    }


def _preparation(dataset: PreparedDataset) -> Mapping[str, Any]:
    found = dataset.preparation()
    told: dict[str, Any] = {"dataset": dataset.name, "splits": dict(dataset.splits)}
    if found is None:
        return told
    told |= dataclasses.asdict(found.report)
    told["first_skips"] = [list(row) for row in found.skips(_NUM_SKIPS_TOLD)]
    return told
