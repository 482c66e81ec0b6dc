"""The label spaces of a study's arms: of those that label millions of images, few at a time.

A space keyed by image holds four bytes an image: all those of 7 arms and 3 seeds on ImageNet-21k
would be more than a gigabyte. What is small is kept; what is not is made again when asked for.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.labels.space import LabelSpace

MAX_KEPT_BYTES = 128 * 1024**2
"""Of the tables of all spaces together; those beyond are made again."""

Key = tuple[str, int]


@dataclasses.dataclass(frozen=True, eq=False)
class SpaceSummary:
    """What is recorded of a label space, without its table.

    Attributes:
      key: (arm, seed).
      name: as the space's.
      num_classes: as the space's.
      keyed_by: as the space's.
      source: as the space's.
      fingerprint: as the space's.
    """

    key: Key
    name: str
    num_classes: int
    keyed_by: str
    source: Mapping[str, Any]
    fingerprint: str

    @classmethod
    def of(cls, key: Key, space: LabelSpace) -> SpaceSummary:
        """What is recorded of this space."""
        return cls(
            key, space.name, space.num_classes, space.keyed_by, space.source, space.fingerprint
        )


class ArmSpaces(Mapping[Key, LabelSpace]):
    """(arm, seed) → label space, made when first asked for, and again where it was not kept.

    Args:
      keys: of all of them, in order.
      make: makes one.
      slow: arms whose spaces are not made twice: the tables of large ones go to a temporary file.
      max_kept_bytes: of the tables that stay in memory; `MAX_KEPT_BYTES` where None.
    """

    def __init__(
        self,
        keys: Collection[Key],
        make: Callable[[Key], LabelSpace],
        slow: Collection[str] = (),
        max_kept_bytes: int | None = None,
    ) -> None:
        self._keys, self._make, self._slow = tuple(dict.fromkeys(keys)), make, frozenset(slow)
        self._bytes_left = MAX_KEPT_BYTES if max_kept_bytes is None else max_kept_bytes
        self._kept: dict[Key, LabelSpace] = {}
        self._last: tuple[Key, LabelSpace] | None = None
        self._summaries: dict[Key, SpaceSummary] = {}

    @classmethod
    def of(cls, spaces: Mapping[Key, LabelSpace]) -> ArmSpaces:
        """Spaces that are there already."""
        return spaces if isinstance(spaces, cls) else cls(tuple(spaces), dict(spaces).__getitem__)

    @property
    def summaries(self) -> Mapping[Key, SpaceSummary]:
        """What is recorded of each; each is made once for that."""
        for key in self._keys:
            if key not in self._summaries:
                self[key]
        return self._summaries

    def __getitem__(self, key: Key) -> LabelSpace:
        """The label space of an arm and a seed.

        Raises:
          KeyError: where there is none.
          UsageError: where it cannot be made, or is another one than it was before.
        """
        if key in self._kept:
            return self._kept[key]
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        if key not in self._keys:
            raise KeyError(key)
        self._last = None  # let go before the next one takes its memory
        space = self._make(key)
        self._note(key, space)
        if space.table.nbytes <= self._bytes_left:
            self._bytes_left -= space.table.nbytes
            self._kept[key] = space
        elif key[0] in self._slow:
            self._kept[key] = space = _on_disk(space)
        else:
            self._last = key, space
        return space

    def _note(self, key: Key, space: LabelSpace) -> None:
        found = SpaceSummary.of(key, space)
        before = self._summaries.setdefault(key, found)
        if before.fingerprint != found.fingerprint:
            raise UsageError(
                f"arm {key[0]!r}, seed {key[1]}: its label space was {before.fingerprint[:12]} at "
                f"the start and is {found.fingerprint[:12]} now: a file that it is made from was "
                "changed meanwhile; run the same command again"
            )

    def __iter__(self) -> Iterator[Key]:
        """The keys, in order; no space is made."""
        return iter(self._keys)

    def __len__(self) -> int:
        """How many spaces there are."""
        return len(self._keys)


def _on_disk(space: LabelSpace) -> LabelSpace:
    """The same space with its table memory-mapped from a file that goes with the process."""
    try:
        with tempfile.TemporaryFile() as file:
            space.table.tofile(file)
            file.flush()
            table = np.memmap(file, np.int32, "r", shape=space.table.shape)
    except OSError:  # a full disk: it stays in memory
        return space
    found = dataclasses.replace(space, table=table)
    found.__dict__["fingerprint"] = space.fingerprint  # of the same content
    return found
