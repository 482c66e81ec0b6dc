"""ImageNet-21k as a TFDS dataset whose configs are the levels 0 to 12 of WordNet."""

from __future__ import annotations

import functools
import inspect
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds

from fine2coarse.archives.archives import SourceError
from fine2coarse.datasets.imagenet21k_sources import EXPECTED, Leaves, find_source
from fine2coarse.datasets.leveled import (
    LevelConfig,
    LeveledBuilder,
    PreparationRefused,
    PrepareConfig,
)
from fine2coarse.errors import UsageError
from fine2coarse.preparation.file_batches import Source
from fine2coarse.preparation.shards import SplitPlan, SplitRule
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.wordnet import (
    NUM_LEVELS,
    imagenet21k_synsets,
    known_synsets,
    read_wordnet,
)

NUM_IMAGES_FALL11 = 14_197_122
"""Images in fall11_whole.tar: https://image-net.org/about (summary and statistics)."""
NUM_VALIDATION_FALL11 = 102_400
"""Held out by default at full scale: as many as Kolesnikov et al. hold out, arXiv 1912.11370."""
_PRESENT = "present_"

_CITATION = """\
@inproceedings{deng2009imagenet,
  title={ImageNet: A large-scale hierarchical image database},
  author={Deng, Jia and Dong, Wei and Socher, Richard and Li, Li-Jia and Li, Kai and Fei-Fei, Li},
  booktitle={CVPR},
  year={2009}
}
"""


class Imagenet21kConfig(LevelConfig):
    """A level of ImageNet-21k; `present_...` configs have the synsets of the source alone."""

    @property
    def present_only(self) -> bool:
        """Whether the leaves are the synsets that the source has, not all 21,843."""
        return self.name.startswith(_PRESENT)


def _configs() -> list[Imagenet21kConfig]:
    return [
        Imagenet21kConfig(
            name=f"{prefix}level{hops}",
            level=str(hops),
            stored_as=f"{prefix}level0",
            description=f"Labels {hops} hypernyms above {leaves}.",
        )
        for prefix, leaves in (("", "the 21,843 synsets"), (_PRESENT, "the source's synsets"))
        for hops in range(NUM_LEVELS)
    ]


class Imagenet21k(LeveledBuilder):
    """ImageNet-21k, labelled with synsets or with what stands k hypernyms above them.

    `imagenet21k/level0` has one label for each image; from `level1` on an image may have several,
    for WordNet is not a tree: `label` is int64 [M], padded with -1. The held-out split `validation`
    are the images whose names' SHA-256 come first, so that whoever has the same files has the
    same split.
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {"2.0.0": "Images upright, without loss where the source has none."}
    BUILDER_CONFIGS = _configs()
    DEFAULT_BUILDER_CONFIG_NAME = "level0"
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f"Register at https://image-net.org, agree to its terms, and put {EXPECTED}"
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=inspect.cleandoc(type(self).__doc__),
            features=self._features(),
            supervised_keys=("image", "label"),
            homepage="https://image-net.org",
            citation=_CITATION,
            metadata=tfds.core.MetadataDict(),
        )

    def _known_taxonomy(self) -> Taxonomy | None:
        return None if self.builder_config.present_only else _whole_taxonomy()

    def _find_source(
        self, dl_manager: tfds.download.DownloadManager, config: PrepareConfig
    ) -> tuple[Source, Taxonomy]:
        if config.splits is not None:
            raise UsageError(
                "imagenet21k has no splits of its own to choose from; num_validation says how "
                "many images are held out"
            )
        folder = _manual_folder(dl_manager, config)
        known = known_synsets()
        source = find_source(folder, _leaves(imagenet21k_synsets(), known))
        if not self.builder_config.present_only:
            return source, _whole_taxonomy()
        present = [synset for synset in source.synsets() if synset in known]
        return find_source(folder, _leaves(present, known)), read_wordnet(present)

    def _check_prepared(self, config: PrepareConfig) -> None:
        held_out = self.info.splits["validation"].num_examples
        if config.num_validation not in (None, held_out):
            raise PreparationRefused(
                f"{self.data_dir} is prepared with {held_out} images held out, not "
                f"{config.num_validation}; give another data_dir, or delete that folder"
            )

    def _identity_now(self, config: PrepareConfig, before: Mapping[str, Any]) -> Mapping[str, Any]:
        del before
        return find_source(pathlib.Path(config.manual_dir), Leaves({}, frozenset())).identity()

    def _settings(self, source: Source, config: PrepareConfig) -> Mapping[str, Any]:
        del source
        return {"num_validation": config.num_validation}

    def _split_rule(self, source: Source, config: PrepareConfig) -> SplitRule:
        del source
        return functools.partial(hold_out, num_validation=config.num_validation)


def _manual_folder(
    dl_manager: tfds.download.DownloadManager, config: PrepareConfig
) -> pathlib.Path:
    if config.manual_dir is not None:
        return pathlib.Path(config.manual_dir)
    try:
        return pathlib.Path(dl_manager.manual_dir)  # TFDS's own place for it
    except AssertionError as error:
        raise SourceError(f"{error}; or give manual_dir, the folder where they are") from error


def hold_out(images: SplitPlan, num_validation: int | None) -> Mapping[str, SplitPlan]:
    """Divides images, which come in the order of their ids' hashes: the first are held out.

    Args:
      images: all, in shuffled order.
      num_validation: how many to hold out; where None, 102,400 of 14,197,122 or that share.

    Raises:
      UsageError: where none would be left to train on.
    """
    if num_validation is None:
        share = images.num_examples * NUM_VALIDATION_FALL11 / NUM_IMAGES_FALL11
        num_validation = min(max(1, round(share)), images.num_examples - 1)
    if num_validation >= images.num_examples:
        raise UsageError(
            f"num_validation={num_validation}, but there are only {images.num_examples} images"
        )
    return {
        "train": images.take(slice(num_validation, None)),
        "validation": images.take(slice(0, num_validation)),
    }


def _leaves(synsets: Sequence[str], known: frozenset[str]) -> Leaves:
    return Leaves({synset: label for label, synset in enumerate(synsets)}, known)


@functools.cache
def _whole_taxonomy() -> Taxonomy:
    return read_wordnet()
