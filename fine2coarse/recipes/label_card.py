"""What configs/labels.py holds: a label space to be made, and the images it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fine2coarse.labels.advise import AdviseSpec
from fine2coarse.recipes.dataset_options import read_options
from fine2coarse.recipes.recipe import LabelSpec


@dataclasses.dataclass(frozen=True)
class LabelledDataset:
    """Images to label.

    Attributes:
      name: e.g. 'demo' or 'folder'.
      options: what that dataset takes.
      train_split: split that the label space is made from.
      eval_splits: splits to label as well; all others where empty.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    train_split: str = "train"
    eval_splits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks the options; expands paths."""
        object.__setattr__(self, "options", read_options(self.name, self.options))


@dataclasses.dataclass(frozen=True)
class LabelCard:
    """A label space to be made.

    Attributes:
      dataset: the images.
      label: how to make it.
      target: what aligned spaces stay within; none where it is None or none of its options is
        given.
      sizes: several numbers of clusters: a file for each, or the candidates of --advise.
      advise: how to score these.
    """

    dataset: LabelledDataset
    label: LabelSpec
    target: LabelSpec | None = None
    sizes: tuple[int, ...] = ()
    advise: AdviseSpec = AdviseSpec()

    @property
    def has_target(self) -> bool:
        """Whether a target is given."""
        options = self.target.options.values() if self.target else ()
        return any(value is not None for value in options)
