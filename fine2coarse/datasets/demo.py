"""The demo dataset: generated pictures in which fine labels have something to teach.

**These images are generated, not photographs.** They follow the multi-view picture of Hong et al.
(arXiv 2410.23129, section 4): on a grid of patches, every image shows the *rare* mark of its fine
class; *easy* images also show the *common* mark that all fine classes of a superclass share;
*hard* images (in the test split alone, flagged by the feature `hard`) lack the common mark, and
show a faint common mark of a wrong superclass instead. The other patches are clutter.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from fine2coarse.datasets import stored_taxonomy
from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.csv_reader import from_rows
from fine2coarse.taxonomy.taxonomy import Taxonomy

_NUM_CHANNELS = 3


@dataclasses.dataclass(kw_only=True)
class DemoConfig(tfds.core.BuilderConfig):
    """Sizes, difficulty and seed of the generated images.

    Attributes:
      num_superclasses: target classes.
      num_middle_classes: groups of fine classes within each superclass.
      num_fine_classes: fine classes within each group.
      grid: patches along each side of the image.
      patch_px: side of a patch in pixels.
      num_train: images of the training split (all easy).
      num_test_easy: easy images of the test split.
      num_test_hard: hard images of the test split.
      num_marks: patches that carry each kind of mark.
      common_strength: contrast of the common mark against the background, in units of one.
      rare_strength: contrast of the rare mark.
      faint_strength: contrast of the wrong superclass's mark in hard images.
      clutter_strength: contrast of the clutter.
      noise: standard deviation of the pixel noise.
      seed: of marks and images.
    """

    num_superclasses: int = 4
    num_middle_classes: int = 2
    num_fine_classes: int = 4
    grid: int = 4
    patch_px: int = 8
    num_train: int = 4000
    num_test_easy: int = 1000
    num_test_hard: int = 1000
    num_marks: int = 4
    common_strength: float = 1.0
    rare_strength: float = 1.3
    faint_strength: float = 0.4
    clutter_strength: float = 0.4
    noise: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks that the classes and marks fit."""
        counts = ("num_superclasses", "num_middle_classes", "num_fine_classes", "patch_px")
        for field in (*counts, "num_train", "num_test_easy", "num_test_hard", "num_marks"):
            if getattr(self, field) < 1:
                raise UsageError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.num_superclasses < 2:
            raise UsageError("num_superclasses must be at least 2: hard images show a wrong one")
        if 2 * self.num_marks > self.grid**2:
            raise UsageError(
                f"two kinds of {self.num_marks} marks do not fit a {self.grid}×{self.grid} grid; "
                f"use num_marks <= {self.grid**2 // 2}"
            )

    @property
    def image_size_px(self) -> int:
        """Side of an image in pixels."""
        return self.grid * self.patch_px

    def taxonomy(self) -> Taxonomy:
        """Levels `fine`, `middle`, `superclass`."""
        rows = [["fine", "middle", "superclass"]]
        shape = (self.num_superclasses, self.num_middle_classes, self.num_fine_classes)
        for s, m, f in itertools.product(*map(range, shape)):
            rows.append([f"fine{s}{m}{f}", f"middle{s}{m}", f"superclass{s}"])
        return from_rows(rows, where="demo")


class Demo(tfds.core.GeneratorBasedBuilder):
    """Generated 32×32 pictures with 4 superclasses, 8 middle and 32 fine classes."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [DemoConfig(name="default", description="The demo study's images.")]

    @property
    def taxonomy(self) -> Taxonomy:
        """The hierarchy whose leaves are the labels."""
        return stored_taxonomy.read(self.info)

    def _info(self) -> tfds.core.DatasetInfo:
        config: DemoConfig = self.builder_config
        taxonomy = config.taxonomy()
        size = config.image_size_px
        return self.dataset_info_from_configs(
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(size, size, _NUM_CHANNELS), encoding_format="png"
                    ),
                    "image_id": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(names=taxonomy.leaf_ids),
                    "hard": np.bool_,
                }
            ),
            supervised_keys=("image", "label"),
            metadata=stored_taxonomy.metadata(taxonomy),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager
        config: DemoConfig = self.builder_config
        return {
            "train": self._generate_examples("train", config.num_train, 0),
            "test": self._generate_examples("test", config.num_test_easy, config.num_test_hard),
        }

    def _generate_examples(
        self, split: str, num_easy: int, num_hard: int
    ) -> Iterator[tuple[int, dict]]:
        painter = Painter(self.builder_config)
        generator = np.random.default_rng([self.builder_config.seed, split == "test"])
        for index in range(num_easy + num_hard):
            hard = index >= num_easy
            label = index % painter.num_classes
            yield (
                index,
                {
                    "image": painter.paint(label, hard=hard, generator=generator),
                    "image_id": f"{split}-{index:06d}",
                    "label": label,
                    "hard": hard,
                },
            )


class Painter:
    """Draws images from marks that the configuration's seed fixes."""

    def __init__(self, config: DemoConfig) -> None:
        self._config = config
        self._fine_per_superclass = config.num_middle_classes * config.num_fine_classes
        self.num_classes = config.num_superclasses * self._fine_per_superclass
        generator = np.random.default_rng([config.seed, 1234])
        self._common = self._patterns(generator, config.num_superclasses)
        self._rare = self._patterns(generator, self.num_classes)

    def _patterns(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Random patterns of 2×2-pixel squares, mean 0 and variance 1: [count, px, px, 3]."""
        side = -(-self._config.patch_px // 2)
        coarse = generator.standard_normal((count, side, side, _NUM_CHANNELS))
        pattern = coarse.repeat(2, axis=1).repeat(2, axis=2)
        pattern = pattern[:, : self._config.patch_px, : self._config.patch_px]
        flat = pattern.reshape(count, -1)
        flat = (flat - flat.mean(1, keepdims=True)) / flat.std(1, keepdims=True)
        return flat.reshape(pattern.shape)

    def paint(self, label: int, *, hard: bool, generator: np.random.Generator) -> np.ndarray:
        """One image of a fine class: uint8 [size, size, 3]."""
        config = self._config
        superclass = label // self._fine_per_superclass
        num_patches = config.grid**2
        patches = config.clutter_strength * self._patterns(generator, num_patches)
        places = generator.permutation(num_patches)
        rare_places = places[: config.num_marks]
        common_places = places[config.num_marks : 2 * config.num_marks]
        patches[rare_places] = config.rare_strength * self._rare[label]
        if hard:
            others = config.num_superclasses - 1
            wrong = (superclass + 1 + generator.integers(others)) % config.num_superclasses
            patches[common_places] += config.faint_strength * self._common[wrong]
        else:
            patches[common_places] = config.common_strength * self._common[superclass]
        patches += config.noise * generator.standard_normal(patches.shape)
        rows = patches.reshape(config.grid, config.grid, *patches.shape[1:])
        image = rows.swapaxes(1, 2).reshape(config.image_size_px, config.image_size_px, -1)
        return np.clip(128 + 48 * image, 0, 255).astype(np.uint8)
