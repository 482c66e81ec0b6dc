"""What a study's images are: how they were prepared, what was left out, which are there twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse.preparation.comparison import Comparison

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset

DATA = "data.json"
NUM_SKIPS_TOLD = 20


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


def describe_data(
    datasets: Sequence[PreparedDataset], overlaps: Sequence[Overlap]
) -> dict[str, Any]:
    """JSON-able facts for the study's folder and its report."""
    return {
        "preparations": [_preparation(dataset) for dataset in datasets],
        "overlaps": [dataclasses.asdict(overlap) for overlap in overlaps],
    }


def _preparation(dataset: PreparedDataset) -> Mapping[str, Any]:
    found = dataset.preparation()
    told: dict[str, Any] = {"dataset": dataset.name, "splits": dict(dataset.splits)}
    return told if found is None else told | found.facts(NUM_SKIPS_TOLD)


def published_in_words(preparation: Mapping[str, Any]) -> str:
    """What is published of such data, beside what was found; empty where nothing is."""
    compared = (Comparison(**fields) for fields in preparation.get("compared", ()))
    return "; ".join(f"{found.name}: {found.sentence()}" for found in compared)


def overlap_in_words(overlap: Mapping[str, Any]) -> str:
    """A sentence on the images that training and test have in common."""
    begin = f"Of the {overlap['num_images']:,} images of {overlap['images']}, "
    if not overlap["num_in_test"]:
        return f"{begin}none shows the same picture as a test image."
    told = f"{begin}{overlap['num_in_test']:,} show the same picture as a test image; "
    if overlap["num_dropped"]:
        return f"{told}these were left out of training (drop_duplicates)."
    return f"{told}they were trained on nonetheless (dataset.drop_duplicates leaves them out)."


def notes(facts: Mapping[str, Any]) -> Iterator[str]:
    """What a user should know before the study starts: test images that are trained on."""
    for overlap in facts.get("overlaps", ()):
        if overlap["num_in_test"]:
            yield overlap_in_words(overlap)
