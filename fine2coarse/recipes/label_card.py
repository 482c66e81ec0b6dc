"""What configs/labels.py holds: a label space to be made, and the images it is for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fine2coarse.errors import RecipeError
from fine2coarse.labels.advise import AdviseSpec
from fine2coarse.labels.spec import Clusters, LabelSource
from fine2coarse.recipes.dataset_options import read_options
from fine2coarse.schema import OPTIONS, parse


@dataclasses.dataclass(frozen=True)
class LabelledDataset:
    """Images to label.

    Attributes:
      name: the dataset's name.
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
      label: how to make the label space.
      target: what aligned spaces stay within; None where there is none.
      sizes: several numbers of clusters: a file for each, or the candidates of --advise.
      advise: how --advise scores numbers of clusters.
    """

    dataset: LabelledDataset
    label: LabelSource
    target: LabelSource | None = None
    sizes: tuple[int, ...] = ()
    advise: AdviseSpec = AdviseSpec()

    def __post_init__(self) -> None:
        """Checks that several sizes go with clusters."""
        if self.sizes and not isinstance(self.label, Clusters):
            raise RecipeError("config.sizes goes with source `clusters`")

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, advise: bool = False) -> LabelCard:
        """Parses a card; a target none of whose options is given counts as none.

        Clusters whose numbers are in `sizes`, or to be advised, need no number of their own.

        Args:
          config: the card's content.
          advise: whether the card is to rank numbers of clusters.

        Raises:
          RecipeError: naming the key at fault.
        """
        content = dict(config)
        target, label = content.get("target"), content.get("label")
        if isinstance(target, Mapping) and not _has_options(target):
            content["target"] = None
        sizes = content.get("sizes") or ()
        if (sizes or advise) and isinstance(label, Mapping) and label.get("source") == "clusters":
            options = {**(label.get(OPTIONS) or {}), "num_clusters": max(sizes, default=2)}
            content["label"] = {**label, OPTIONS: options}
        card = parse(cls, content)
        if advise and not isinstance(card.label, Clusters):
            raise RecipeError("--advise goes with source `clusters`")
        return card


def _has_options(space: Mapping[str, Any]) -> bool:
    options = space.get(OPTIONS) or {}
    return any(value is not None for value in options.values())
