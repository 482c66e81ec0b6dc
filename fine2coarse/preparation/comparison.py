"""What is published of a data set, beside what a preparation of it found; no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What is published of such data, beside what was found.

    Attributes:
      name: of what was published.
      published_images: of one or several splits.
      published_classes: of all of them.
      images: found, of the same splits.
      classes: found.
    """

    name: str
    published_images: Sequence[int]
    published_classes: int
    images: Sequence[int]
    classes: int

    def sentence(self) -> str:
        """Both, and how they differ."""
        more = {
            ("image", "images"): sum(self.images) - sum(self.published_images),
            ("class", "classes"): self.classes - self.published_classes,
        }
        told: list[str] = []
        for direction, sign in (("more", 1), ("fewer", -1)):
            counts = [
                f"{abs(count):,} {names[abs(count) != 1]}"
                for names, count in more.items()
                if count * sign > 0
            ]
            told += [f"{' and '.join(counts)} {direction}"] * bool(counts)
        if not told:
            is_same = list(self.images) == list(self.published_images)
            told = ["as published" if is_same else "as many, divided otherwise"]
        return (
            f"published {_sum(self.published_images)} images of {self.published_classes:,} "
            f"classes, here {_sum(self.images)} of {self.classes:,}: {', '.join(told)}"
        )


def _sum(counts: Iterable[int]) -> str:
    return " + ".join(f"{count:,}" for count in counts)
