"""One trial: draw, train, measure, for a block of seeds. Its rows are the laboratory's raw results.

Each seed has generators of its own for weights, training images, test images and labels. So coarse
and fine networks of a seed see the same images, and a row depends on its seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.theory.data import MultiViewData, Samples, draw_samples
from fine2coarse.theory.labelling import Labelling, aligned, mixed, with_noise
from fine2coarse.theory.measurements import (
    alignment_ratio,
    growth_ratio,
    probe_errors,
    superclass_errors,
)
from fine2coarse.theory.network import Network, neurons_per_output
from fine2coarse.theory.training import TrainingSettings, fixed_batches, fresh_batches, start, train

Row = dict[str, str | float | int]
_NUM_PROBE_IMAGES = 1000


@dataclass(frozen=True)
class Trial:
    """One network, one labelling, one curve's point; the defaults are the laboratory's.

    Raises:
      UsageError: neurons that cannot be shared equally, or fields that exclude each other.
    """

    curve: str  # what the point belongs to, such as "coarse" or "fine"
    value: float  # where on the horizontal axis it stands
    data: MultiViewData = MultiViewData()
    recipe: TrainingSettings = TrainingSettings()
    num_groups: int | None = None  # classes a superclass; None: k, that is fine
    mixes_superclasses: bool = False
    label_per_image: bool = False  # needs num_images
    num_images: int | None = None  # None: every batch is new
    neurons_per_leaf: int = 32  # K·k·32 in all, whatever the labels
    hard_share: float = 0.0  # of the training images
    label_noise: float = 0.0
    num_test_images: int = 1000  # of each kind, easy and hard
    probe_ridges: tuple[float, ...] = ()  # of linear probes on the hidden layer
    test_variants: tuple[tuple[float, float], ...] = ()  # (α†, σ*) of the hard test images
    snapshots: tuple[int, ...] = ()  # steps after which to measure, besides the last
    stop_losses: tuple[float, ...] = ()  # measure where a batch's loss first falls so low
    coarse_steps: int | None = None  # then coarse fine-tuning of the same neurons

    def __post_init__(self):
        if self.label_per_image and not self.num_images:
            raise UsageError("label_per_image needs num_images, the number of training images")
        for name in ("num_images", "num_test_images", "neurons_per_leaf"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}: expected one or more")
        neurons_per_output(self.num_neurons, self.num_outputs)

    @property
    def num_neurons(self) -> int:
        """Neurons in all, equal for coarse and fine."""
        return self.neurons_per_leaf * self.data.num_leaves

    @property
    def num_rows_per_seed(self) -> int:
        """How many rows a seed must yield."""
        if self.stop_losses:
            return len(self.stop_losses)
        if self.coarse_steps is not None:
            return 1
        moments = {*self.snapshots, self.recipe.num_steps}
        return len(moments) * max(1, len(self.test_variants))

    @property
    def num_outputs(self) -> int:
        """Classes of the network's output."""
        return self.num_images if self.label_per_image else self.labelling().num_classes

    def labelling(self) -> Labelling:
        """The label space over subclasses (not used where every image is a class)."""
        make = mixed if self.mixes_superclasses else aligned
        return make(self.data, self.num_groups or self.data.num_subclasses)


class Streams:
    """A seed's generators: what is drawn from one does not shift another."""

    def __init__(self, seeds):
        names = ("weights", "images", "order", "labels", "probe", "test", "transfer", "head")
        for stream, name in enumerate(names):
            setattr(self, name, [np.random.default_rng([seed, stream]) for seed in seeds])


def run_trial(trial: Trial, seeds: tuple[int, ...]) -> list[Row]:
    """Rows of the trial: for each seed one after the last step, and one at each earlier stop.

    Columns: curve, value, step, seed; train_loss of the last batch; alignment_ratio; and
    `{easy,hard}_error_{max,logsumexp,sum,probe_<ridge>}` as shares, those that the trial measures.
    """
    streams = Streams(seeds)
    network = untrained(trial, streams)
    images = training_images(trial, streams)
    examiner = _Examiner(trial, seeds, images)
    if trial.stop_losses:
        return _train_to_losses(trial, network, streams, images, examiner)
    rows = examiner.rows(network, 0) if 0 in trial.snapshots else []
    batches = training_batches(trial, streams, images)
    for step, loss in enumerate(train(network, batches, trial.recipe), 1):
        if step in trial.snapshots or step == trial.recipe.num_steps:
            rows += examiner.rows(network, step, loss)
    if trial.coarse_steps is not None:
        rows = _finetune(trial, network, streams, examiner)
    return rows


def run_growth_trial(trial: Trial, seeds: tuple[int, ...]) -> list[Row]:
    """Rows with k times the growth ratio of a coarse network; the theory says 1."""
    streams = Streams(seeds)
    network = untrained(trial, streams)
    before = network.copy()
    *_, loss = train(network, training_batches(trial, streams, None), trial.recipe)
    ratio = growth_ratio(before, network, trial.data) * trial.data.num_subclasses
    return [
        {
            "curve": trial.curve,
            "value": trial.value,
            "seed": seed,
            "step": trial.recipe.num_steps,
            "train_loss": float(loss[i]),
            "k_times_growth_ratio": float(ratio[i]),
        }
        for i, seed in enumerate(seeds)
    ]


def untrained(trial: Trial, streams: Streams) -> Network:
    """The network that the trial starts from."""
    per_output = neurons_per_output(trial.num_neurons, trial.num_outputs)
    return start(trial.data, trial.recipe, streams.weights, trial.num_outputs, per_output)


def training_images(trial: Trial, streams: Streams) -> Samples | None:
    """The images that the trial trains on; None where every batch is new."""
    if trial.num_images is None:
        return None
    return draw_samples(trial.data, streams.images, trial.num_images, trial.hard_share)


def training_batches(
    trial: Trial, streams: Streams, images: Samples | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Endless batches of patches [S, B, P, d] and the trial's labels [S, B]."""
    table, data = trial.labelling().leaf_to_class, trial.data
    size = trial.recipe.batch_size
    if images is None:
        for batch in fresh_batches(data, streams.images, size, trial.hard_share):
            leaves = with_noise(batch.leaves, data, streams.labels, trial.label_noise)
            yield batch.patches, table[leaves]
    labels = table[with_noise(images.leaves, data, streams.labels, trial.label_noise)]
    for batch, index in fixed_batches(images, streams.order, size):
        own = index if trial.label_per_image else np.take_along_axis(labels, index, 1)
        yield batch.patches, own


def _train_to_losses(trial, network, streams, images, examiner):
    """Measures each seed at the step where its own loss first falls to each of the bounds."""
    rows, waiting = [], {bound: set(range(len(examiner.seeds))) for bound in trial.stop_losses}
    for step, loss in enumerate(
        train(network, training_batches(trial, streams, images), trial.recipe), 1
    ):
        for bound, seeds in waiting.items():
            reached = [i for i in sorted(seeds) if loss[i] <= bound]
            if reached:
                found = examiner.rows(network, step, loss, value=bound)
                rows += [found[i] for i in reached]
                seeds.difference_update(reached)
        if not any(waiting.values()):
            return rows
    raise UsageError(
        f"{trial.curve} training did not reach a loss of {min(trial.stop_losses)} within "
        f"{trial.recipe.num_steps} steps: raise num_steps"
    )


def _finetune(trial, network, streams, examiner):
    """Fine neurons summed into one output a superclass, then trained on with coarse labels."""
    coarse = replace(
        trial, num_groups=1, recipe=replace(trial.recipe, num_steps=trial.coarse_steps)
    )
    network = network.regroup(trial.data.num_superclasses)
    *_, loss = train(network, training_batches(coarse, streams, None), coarse.recipe)
    examiner.labelling = coarse.labelling()
    return examiner.rows(network, trial.recipe.num_steps + trial.coarse_steps, loss)


class _Examiner:
    """Measures a trial's networks; its images are the same for every trial of equal data."""

    def __init__(self, trial, seeds, images):
        self.trial, self.seeds, self.labelling = trial, seeds, trial.labelling()
        self.images = images

    def rows(self, network: Network, step: int, loss=None, value=None) -> list[Row]:
        """One row a seed (and a kind of hard image) of all that this trial measures."""
        columns = {"train_loss": loss} if loss is not None else {}
        if not (self.trial.label_per_image or self.trial.mixes_superclasses):
            table = self.labelling.leaf_to_class
            columns["alignment_ratio"] = alignment_ratio(network, self.trial.data, table)
        rows = []
        for settings, data in self._test_data():
            head = {
                "curve": self.trial.curve,
                "value": self.trial.value if value is None else value,
                "step": step,
            }
            numbers = columns | self._errors(network, data)
            rows += [
                head | settings | {"seed": seed} | {n: float(x[i]) for n, x in numbers.items()}
                for i, seed in enumerate(self.seeds)
            ]
        return rows

    def _test_data(self):
        """The settings that vary, and the distribution that hard test images come from."""
        if not self.trial.test_variants:
            return [({}, self.trial.data)]
        variants = [
            {"wrong_strength": strength, "outlier_noise_std": std}
            for strength, std in self.trial.test_variants
        ]
        return [(variant, replace(self.trial.data, **variant)) for variant in variants]

    def _errors(self, network, data):
        streams, columns = Streams(self.seeds), {}
        tests = {
            kind: draw_samples(data, streams.test, self.trial.num_test_images, share)
            for kind, share in (("easy", 0.0), ("hard", 1.0))
        }
        table = self.labelling.class_to_superclass
        if self.trial.label_per_image:
            table = data.superclass_of(self.images.leaves)
        if table is not None:
            for kind, samples in tests.items():
                errors = superclass_errors(network, samples, data, table)
                columns |= {f"{kind}_error_{readout}": e for readout, e in errors.items()}
        if self.trial.probe_ridges:
            train_images = self.images or draw_samples(
                data, streams.probe, _NUM_PROBE_IMAGES, self.trial.hard_share
            )
            errors = probe_errors(network, train_images, tests, data, self.trial.probe_ridges)
            columns |= {f"{kind}_error_probe_{r:g}": e for (kind, r), e in errors.items()}
        return columns
