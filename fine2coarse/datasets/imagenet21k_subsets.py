"""Which of ImageNet-21k's classes and images a config has, and what others counted; no TensorFlow.

ImageNet-21K-P (Ridnik et al., arXiv 2104.10972) is a rule: keep the classes with more than 500
images, hold out the first 50 of each, in the order of their file names.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from fine2coarse.errors import UsageError
from fine2coarse.nearest import unknown
from fine2coarse.taxonomy.wordnet import NUM_LEVELS

NUM_IMAGES_FALL11 = 14_197_122
"""Images in fall11_whole.tar: https://image-net.org/about (summary and statistics)."""
LEAVES = ("all", "present")
_NAMED = {"21k_p": (501, 50)}
_NAME = re.compile(
    r"(?:(?P<subset>21k_p)_|(?P<present>present)_|min(?P<min>[1-9]\d*)_)?"
    r"(?:val(?P<val>[1-9]\d*)_)?level(?P<hops>\d+)"
)


@dataclasses.dataclass(frozen=True)
class Subset:
    """The classes and the held-out images of a config.

    Attributes:
      leaves: 'all' 21,843 synsets, or 'present', those that the archive has.
      min_images_per_class: classes with fewer images that can be used are left out; None for no
        such rule.
      num_validation_per_class: the first images of each class, by name, that are held out; None
        where they are held out of all images together.

    Raises:
      UsageError: where a number is out of range, or the fields contradict each other.
    """

    leaves: str = "all"
    min_images_per_class: int | None = None
    num_validation_per_class: int | None = None

    def __post_init__(self) -> None:
        """Checks the fields."""
        if self.leaves not in LEAVES:
            raise UsageError(f"leaves is one of {list(LEAVES)}, got {self.leaves!r}")
        least, held_out = self.min_images_per_class, self.num_validation_per_class
        for name in ("min_images_per_class", "num_validation_per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        if least is not None and self.leaves != "present":
            raise UsageError(
                f"min_images_per_class={least} leaves classes out, but leaves={self.leaves!r} "
                "keeps them; leave one of the two out"
            )
        if least is not None and held_out is not None and held_out >= least:
            raise UsageError(
                f"num_validation_per_class={held_out} would leave a class of "
                f"min_images_per_class={least} images none to train on; take fewer than {least}"
            )

    @classmethod
    def of_options(
        cls,
        leaves: str | None = None,
        subset: str | None = None,
        min_images_per_class: int | None = None,
        num_validation_per_class: int | None = None,
    ) -> Subset:
        """The subset that options of the dataset describe; None is not given.

        Args:
          leaves: as `Subset.leaves`; where absent 'present' with a minimum, else 'all'.
          subset: '21k_p' for the rule of ImageNet-21K-P.
          min_images_per_class: as in `Subset`.
          num_validation_per_class: as in `Subset`.

        Raises:
          UsageError: on an unknown name, or options that contradict each other.
        """
        if subset is not None:
            if subset not in _NAMED:
                raise UsageError(unknown("subset", subset, _NAMED))
            named = _NAMED[subset]
            for given, own in zip((min_images_per_class, num_validation_per_class), named):
                if given not in (None, own):
                    raise UsageError(
                        f"subset={subset!r} is min_images_per_class={named[0]} and "
                        f"num_validation_per_class={named[1]}, got {given} too; leave subset out "
                        "to choose these numbers"
                    )
            min_images_per_class, num_validation_per_class = named
        if leaves is None:
            leaves = "all" if min_images_per_class is None else "present"
        return cls(leaves, min_images_per_class, num_validation_per_class)

    @property
    def name(self) -> str:
        """'21k_p' where the numbers are those of ImageNet-21K-P, else empty."""
        numbers = (self.min_images_per_class, self.num_validation_per_class)
        return next((name for name, own in _NAMED.items() if own == numbers), "")

    def config_name(self, hops: int = 0) -> str:
        """Name of the config that has these classes, labelled `hops` hypernyms above them."""
        parts = []
        if self.name:
            parts = [self.name]
        else:
            if self.min_images_per_class is not None:
                parts += [f"min{self.min_images_per_class}"]
            elif self.leaves == "present":
                parts += ["present"]
            if self.num_validation_per_class is not None:
                parts += [f"val{self.num_validation_per_class}"]
        return "_".join([*parts, f"level{hops}"])

    def describe(self) -> str:
        """The classes, in a few words."""
        least = self.min_images_per_class
        if self.name == "21k_p":
            return "ImageNet-21K-P's synsets"
        if least is not None:
            return f"the source's synsets of at least {least} images"
        return "the source's synsets" if self.leaves == "present" else "the 21,843 synsets"


NAMED_SUBSETS = (Subset(), Subset("present"), Subset.of_options(subset="21k_p"))
"""Those whose configs TFDS lists; others have configs too: see `parse_config_name`."""

SUBSET_OPTIONS = ("leaves", "subset", "min_images_per_class", "num_validation_per_class")


def subset_of(options: Mapping[str, Any]) -> Subset:
    """The subset that `SUBSET_OPTIONS` among the dataset's options describe.

    Raises:
      UsageError: as `Subset.of_options`.
    """
    return Subset.of_options(**{name: options.get(name) for name in SUBSET_OPTIONS})


def parse_config_name(name: str) -> tuple[Subset, int] | None:
    """The subset and the hypernyms climbed of a config; None where the name is none.

    Args:
      name: as `Subset.config_name` makes it: level0, present_level3, 21k_p_level0, min100_level1,
        min100_val20_level0.
    """
    match = _NAME.fullmatch(name)
    if match is None or int(match["hops"]) >= NUM_LEVELS:
        return None
    least, held_out = (int(match[key]) if match[key] else None for key in ("min", "val"))
    leaves = "present" if match["present"] else None
    try:
        subset = Subset.of_options(leaves, match["subset"], least, held_out)
    except UsageError:
        return None
    hops = int(match["hops"])
    return (subset, hops) if subset.config_name(hops) == name else None


@dataclasses.dataclass(frozen=True)
class Published:
    """What others counted.

    Attributes:
      name: of what they counted.
      images: of it all, or of `train` and `validation`.
      classes: of it all.
    """

    name: str
    images: tuple[int, ...]
    classes: int


RELEASES = (
    Published("fall11", (NUM_IMAGES_FALL11,), 21_841),
    Published("winter21", (13_153_500,), 19_167),
)
"""ImageNet's own archives. Two of the literature's 21,843 classes have
no images in fall11."""

IMAGENET21K_P = (
    Published("21K-P, fall11", (11_797_632, 561_052), 11_221),
    Published("21K-P, winter21", (11_060_223, 522_500), 10_450),
)
"""From github.com/Alibaba-MIIL/ImageNet21K, dataset_preprocessing/processing_instructions.md. The
rule cannot give the 561,052 there: 50 of each of 11,221 classes are 561,050. Of winter21's 10,450
they are 522,500, as there."""
