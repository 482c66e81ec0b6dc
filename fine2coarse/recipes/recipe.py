"""The recipe of a study: parsed once, checked once, written beside its runs."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

from fine2coarse.errors import RecipeError
from fine2coarse.labels.spec import LabelSource
from fine2coarse.nearest import unknown
from fine2coarse.recipes.backbone_spec import BackboneSpec
from fine2coarse.recipes.dataset_options import defining_options, read_options
from fine2coarse.recipes.names import BASELINE, LINEAR_PROBE, NEW, STRAIGHT
from fine2coarse.recipes.phase_spec import PRECISIONS, PhaseSpec
from fine2coarse.recipes.start_spec import StartSpec
from fine2coarse.recipes.transfer_spec import AUTO, KNOWN, OFF, TransferSpec, check_transfer
from fine2coarse.schema import defining, inline, operational, parse, to_plain

SCHEMA_VERSION = 2
CANDIDATES = (AUTO, OFF)
_STEPS_PER_WARMUP = 10  # of a phase, in what an error suggests
STORAGES = ("auto", "memory", "disk", "stream", "device")


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """Which images.

    Attributes:
      name: the dataset's name.
      options: what that dataset takes.
      train_split: split to train on.
      eval_split: split to evaluate on.
      train_fraction: share of `train_split` that is used, chosen by image ids: the same images
        whatever the seed, and those of a smaller share are among those of a larger one.
      storage: where images are read from: 'memory'; 'disk', at random places as they are needed;
        'stream', shards in sequence, for buckets and slow disks; 'device', the memory of the GPU
        or TPU, for images of one size that fit; or 'auto': device where there is a GPU or TPU and
        they fit, memory for splits of up to 2 GiB, of larger ones stream in a bucket and else disk.
      stream_window_images: how many images 'stream' shuffles among each other; memory holds up to
        twice as many.
      drop_duplicates: train without the images of `train_split` that the test images hold too.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    train_split: str = "train"
    eval_split: str = "test"
    storage: str = operational("auto")
    stream_window_images: int = operational(8192)
    train_fraction: float = 1.0
    drop_duplicates: bool = False

    def __post_init__(self) -> None:
        """Checks the options, the storage and the fraction; expands paths."""
        object.__setattr__(self, "options", read_options(self.name, self.options))
        if not 0 < self.train_fraction <= 1:
            raise RecipeError(
                f"dataset.train_fraction is above 0 and at most 1, got {self.train_fraction}"
            )
        if self.storage not in STORAGES:
            raise RecipeError(f"dataset.storage is one of {STORAGES}, got {self.storage!r}")
        if self.stream_window_images < 1:
            raise RecipeError(
                f"dataset.stream_window_images is at least 1, got {self.stream_window_images}"
            )

    def normalised(self) -> DatasetSpec:
        """The same without the options that say where images lie and how to prepare them."""
        options = defining_options(self.name, self.options)
        return dataclasses.replace(self, options=options)


@dataclasses.dataclass(frozen=True)
class ArmSpec:
    """An arm: a label space to pretrain on, and where its steps differ from the study's.

    Attributes:
      label: how to make the label space; its `source` and `options` stand among the arm's own keys.
      pretrain_steps: instead of `pretrain.total_steps`; 0 for those.
      transfer_steps: instead of `transfer.total_steps`, e.g. for a coarse arm, to see whether
        longer fine-tuning closes the gap; 0 for those.
    """

    label: LabelSource = inline()
    pretrain_steps: int = 0
    transfer_steps: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers of steps."""
        for name in ("pretrain_steps", "transfer_steps"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class EvaluationSpec:
    """Images from elsewhere to test on, with the same leaf classes or some of them.

    Attributes:
      name: the dataset's name.
      options: what that dataset takes; `flat=True` lets 'folder' do without a taxonomy.
      split: to test on. Its classes are joined with the leaves of the study's dataset by their
        ids (for WordNet the synset ids, as in n01443537).
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    split: str = "test"

    def __post_init__(self) -> None:
        """Checks the options; expands paths."""
        object.__setattr__(self, "options", read_options(self.name, self.options))

    def normalised(self) -> EvaluationSpec:
        """The same without the options that say where images lie and how to prepare them."""
        options = defining_options(self.name, self.options)
        return dataclasses.replace(self, options=options)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that determines a study's numbers.

    Attributes:
      dataset: the images.
      target: the coarse task; one class an image.
      arms: name → label space to pretrain on, perhaps with steps of its own. The baseline is
        always there besides.
      seeds: one run of every arm for each; paired across arms.
      backbone: name and image size.
      pretrain: phase on each arm's labels.
      transfer: phase on the target's labels, from the pretrained model.
      transfer_candidates: 'auto' tries several transfers and as many last phases of the baseline,
        and takes the best on `transfer_validation_share` of the training images, which nothing is
        trained on; never on test images. 'off' makes one transfer, and so does a `transfer_head`
        or `transfer_mode` that is named.
      transfer_head: one head for every arm: 'summed', 'new' or 'averaged', explained at
        `transfer_choices.NAME.head`; 'auto' for the first where the arm's classes can be summed
        into the target's, else for the second.
      transfer_mode: one mode for every arm: 'finetune', 'linear_probe', 'probe_then_finetune' or
        'none', explained at `transfer_choices.NAME.mode`; 'auto' for 'finetune', with a new head
        for 'probe_then_finetune'.
      transfer_choices: name → transfer, to try these instead of the default ones.
      transfer_validation_share: share of the training images held out to choose transfers on.
      precision: of computation: 'float32' or 'mixed_bfloat16'.
      start: what pretraining and the baseline start from; scratch where it is left out.
      test_crops: random crops of each test image whose mean probability decides (test-time
        augmentation); 0 for the central crop.
      evaluation: images from elsewhere to test on; None for the `eval_split`.
      transfer_dataset: the dataset of the coarse task, where it is another than the one to
        pretrain on, such as ImageNet-1k after ImageNet-21k: its `train_split` is what transfer
        and baseline train on, its `eval_split` what they are tested on, and its taxonomy what
        `target` names. None for `dataset`.
    """

    dataset: DatasetSpec
    target: LabelSource
    arms: Mapping[str, ArmSpec]
    seeds: tuple[int, ...]
    backbone: BackboneSpec
    pretrain: PhaseSpec
    transfer: PhaseSpec
    transfer_candidates: str = AUTO
    transfer_head: str = AUTO
    transfer_mode: str = AUTO
    transfer_choices: Mapping[str, TransferSpec] = dataclasses.field(default_factory=dict)
    transfer_validation_share: float = 0.1
    precision: str = "float32"
    start: StartSpec = StartSpec()
    test_crops: int = 0
    evaluation: EvaluationSpec | None = None
    transfer_dataset: DatasetSpec | None = None

    def __post_init__(self) -> None:
        """Checks arms, seeds and choices."""
        if BASELINE in self.arms:
            raise RecipeError(f"arm {BASELINE!r} is always there; give yours another name")
        for arm in self.arms:
            if not arm or "/" in arm or arm.startswith("."):
                raise RecipeError(f"arm {arm!r}: a name may not be empty, start with . or hold /")
            self.phases_of(arm)
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise RecipeError(
                f"seeds must be distinct and not negative, and at least one, got {self.seeds}"
            )
        self._check_transfers()
        if self.precision not in PRECISIONS:
            raise RecipeError(f"precision is one of {PRECISIONS}, got {self.precision!r}")
        if self._num_images % self.pretrain.batch_size:
            raise RecipeError(
                f"pretraining and transfer show {self._num_images} images, which is no multiple "
                f"of pretrain.batch_size={self.pretrain.batch_size}: the baseline could not see "
                f"as many; --config.transfer.total_steps={self._even_transfer_steps} makes it one"
            )

    def _check_transfers(self) -> None:
        check_transfer(self.transfer_head, self.transfer_mode)
        if self.transfer_candidates not in CANDIDATES:
            raise RecipeError(
                f"transfer_candidates is one of {CANDIDATES}, got {self.transfer_candidates!r}"
            )
        if self.tries_candidates and not 0 < self.transfer_validation_share < 1:
            raise RecipeError(
                "transfer_validation_share is above 0 and below 1, got "
                f"{self.transfer_validation_share}; transfer_candidates='off' holds nothing out"
            )
        for name, spec in self.transfer_choices.items():
            if not re.fullmatch(r"\w[\w.-]*", name) or name == STRAIGHT:
                raise RecipeError(
                    f"transfer_choices: {name!r} is no name; use letters, digits, _, . and -, and "
                    f"not {STRAIGHT!r}"
                )
            if name in KNOWN and KNOWN[name] != (spec.head, spec.mode):
                head, mode = KNOWN[name]
                raise RecipeError(
                    f"transfer_choices: {name!r} stands for head={head!r} with mode={mode!r}; give "
                    f"head={spec.head!r} with mode={spec.mode!r} another name"
                )
        if self.transfer_choices and not self.tries_candidates:
            raise RecipeError(
                "transfer_choices are to be tried, but transfer_head, transfer_mode or "
                "transfer_candidates='off' fixes one transfer; leave out one or the other"
            )
        modes = {spec.mode for spec in self.transfer_choices.values()} | {self.transfer_mode}
        if self.test_crops < 0 or (self.test_crops and LINEAR_PROBE in modes):
            raise RecipeError(
                f"test_crops={self.test_crops}: expected 0, or a positive number and no linear "
                "probe, which sees central crops alone"
            )

    @property
    def tries_candidates(self) -> bool:
        """Whether several transfers are tried; a head or mode that is named fixes one."""
        is_fixed = (self.transfer_head, self.transfer_mode) != (AUTO, AUTO)
        return self.transfer_candidates == AUTO and not is_fixed

    @property
    def held_out_share(self) -> float:
        """Share of the task's training images that nothing is trained on."""
        return self.transfer_validation_share if self.tries_candidates else 0.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Recipe:
        """Parses an ml_collections ConfigDict or a plain mapping.

        Raises:
          RecipeError: naming the key at fault.
        """
        to_dict = getattr(config, "to_dict", None)
        content = to_dict() if to_dict else config
        _check_warmups(content)
        return parse(cls, content)

    @classmethod
    def from_stored(cls, content: Mapping[str, Any]) -> Recipe:
        """Parses what a study's folder holds, of this version or an earlier one.

        Raises:
          RecipeError: naming the key at fault, or that a later version wrote it.
        """
        return parse(cls, upgraded(content))

    def only(self, *, arm: str, seed: int) -> Recipe:
        """The same with one seed and one arm; 'target' stands for none.

        Raises:
          RecipeError: on an unknown arm.
        """
        if arm != "target" and arm not in self.arms:
            raise RecipeError(unknown("arm", arm, [*self.arms, "target"]))
        arms = {name: spec for name, spec in self.arms.items() if name == arm}
        return dataclasses.replace(self, arms=arms, seeds=(seed,))

    def phases_of(self, arm: str) -> tuple[PhaseSpec, PhaseSpec]:
        """Pretraining and transfer of an arm, with its own numbers of steps.

        Raises:
          RecipeError: where they are too few for the phase's warmup.
        """
        spec = self.arms.get(arm)
        steps = (spec.pretrain_steps, spec.transfer_steps) if spec else (0, 0)
        try:
            pretrain, transfer = (
                dataclasses.replace(phase, total_steps=own or phase.total_steps)
                for phase, own in zip((self.pretrain, self.transfer), steps, strict=True)
            )
        except ValueError as error:
            raise RecipeError(f"arm {arm!r}: {error}") from error
        return pretrain, transfer

    @property
    def _num_images(self) -> int:
        phases = (self.pretrain, self.transfer)
        return sum(phase.total_steps * phase.batch_size for phase in phases)

    @property
    def _even_transfer_steps(self) -> int:
        """The least transfer, no shorter than this, whose images are whole pretraining steps."""
        batch_size = self.pretrain.batch_size
        unit = batch_size // math.gcd(batch_size, self.transfer.batch_size)
        return -(-self.transfer.total_steps // unit) * unit

    @property
    def baseline_phase(self) -> PhaseSpec:
        """Training on the target alone, for as many images as the other arms see in two phases."""
        steps = self._num_images // self.pretrain.batch_size
        return dataclasses.replace(self.pretrain, total_steps=steps)

    def to_dict(self) -> dict[str, Any]:
        """As plain, JSON-able values: what `from_config` makes the same recipe from."""
        return to_plain(self)

    def stored(self) -> dict[str, Any]:
        """The same as a study's folder keeps it, with the version of the schema."""
        return {"schema_version": SCHEMA_VERSION, **self.to_dict()}

    def defining(self) -> dict[str, Any]:
        """What must not change between two calls on one study folder; arms and seeds may grow.

        Operational fields are left out, and so is what has no effect.
        """
        content = defining(self)
        del content["seeds"], content["arms"]
        if not self.tries_candidates:
            del content["transfer_validation_share"]  # nothing is held out
        return content


def _check_warmups(content: Any) -> None:
    """Raises RecipeError where phases are shorter than their warmup, with flags that mend them all.

    A phase that is not as the schema says is left to the parser.
    """
    told, flags = [], []
    for name in ("pretrain", "transfer"):
        steps, of_arm = _fewest_steps(content, name)
        optimizers = {f"{name}.optimizer": _inside(content, name, "optimizer")}
        if name == "transfer":
            for choice in _inside(content, "transfer_choices"):
                field = f"transfer_choices.{choice}.optimizer"
                optimizers[field] = _inside(content, *field.split("."))
        for field, optimizer in optimizers.items():
            warmup = optimizer.get("warmup_steps")
            if steps and isinstance(warmup, int) and warmup > steps:
                told.append(f"{of_arm}{field}.warmup_steps={warmup} of {steps} steps")
                flags.append(f"--config.{field}.warmup_steps={-(-steps // _STEPS_PER_WARMUP)}")
    if told:
        raise RecipeError(
            f"a warmup cannot be longer than its phase: {', '.join(told)}; add {' '.join(flags)}, "
            "or take more steps"
        )


def _fewest_steps(content: Any, phase: str) -> tuple[int, str]:
    """Steps of a phase, or an arm's own where these are fewer, which is then named.

    0 where they are not known.
    """
    counts = {"": _inside(content, phase).get("total_steps")}
    for arm in _inside(content, "arms"):
        counts[f"arm {arm!r}: "] = _inside(content, "arms", arm).get(f"{phase}_steps")
    known = [(n, of_arm) for of_arm, n in counts.items() if isinstance(n, int) and n > 0]
    return min(known, default=(0, ""))


def _inside(content: Any, *names: str) -> Mapping[str, Any]:
    """What a mapping holds under names, one in the other; empty where that is no mapping."""
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """A stored recipe, or a part of one, in the form of the present schema.

    Fields that an earlier version did not have are given the value that it worked by; those whose
    default is that value are left to the parser.

    Raises:
      RecipeError: where a later version wrote it.
    """
    found = dict(content)
    version = found.pop("schema_version", 1)
    if version > SCHEMA_VERSION:
        raise RecipeError(
            f"this recipe was written by a later version of fine2coarse (schema {version}, this "
            f"one knows {SCHEMA_VERSION}): update fine2coarse"
        )
    if "transfer_head" not in found:  # before transfers were tried: a new head, one mode
        found = {"transfer_candidates": OFF, "transfer_head": NEW, **found}
    return found
