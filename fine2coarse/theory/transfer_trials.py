"""A transfer trial: pretrain on fine labels, put a head on, train everything with coarse labels.

The four ways that a pretrained model is used for the coarse task: its own fine head with the
probabilities summed, as it is (direct) or trained on; a new head; a new head that is trained alone
first (linear probe, then fine-tuning: Kumar et al., arXiv 2202.10054). A fifth head, the sum of the
fine scores, is `Network.regroup` with a second layer that is trained.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.theory.data import draw_samples
from fine2coarse.theory.measurements import all_hidden_features, head_errors, mean_alignment
from fine2coarse.theory.network import HeadedNetwork, Network, random_head, summing_head
from fine2coarse.theory.training import fresh_batches, train, train_headed
from fine2coarse.theory.trials import Row, Streams, Trial, training_batches, untrained

FINE_HEAD, SUM_HEAD, NEW_HEAD = "fine head", "sum of scores", "new head"
HEADS = (FINE_HEAD, SUM_HEAD, NEW_HEAD)
NEW_HEAD_STD = 0.01  # that of a new head in fine2coarse.models
# A linear probe: its loss falls below that of the pretrained network.
_PROBE_STEPS, _PROBE_LEARNING_RATE = 200, 0.2
# Pretrained networks that a process keeps: one for each block of seeds, whatever the transfer.
_NUM_KEPT = 8


@dataclass(frozen=True)
class TransferTrial(Trial):
    """A trial of which `coarse_steps` are the transfer; snapshots are steps of the transfer.

    Raises:
      UsageError: an unknown head, rates below zero, or steps that are missing.
    """

    head: str = FINE_HEAD
    learning_rate: float = 0.02  # of the backbone in the transfer
    head_learning_rate: float = 0.02
    probes_first: bool = False  # train the head alone, then everything

    def __post_init__(self):
        super().__post_init__()
        if self.head not in HEADS:
            raise UsageError(f"head is {self.head!r}: expected one of {', '.join(HEADS)}")
        for name in ("learning_rate", "head_learning_rate"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}: expected zero or more")
        if not self.coarse_steps or self.coarse_steps < 1:
            raise UsageError(f"coarse_steps is {self.coarse_steps}: expected one or more")

    @property
    def is_direct(self) -> bool:
        """Nothing is trained after pretraining."""
        return self.learning_rate == self.head_learning_rate == 0 and not self.probes_first

    @property
    def moments(self) -> tuple[int, ...]:
        """Transfer steps after which it is measured, in order."""
        return tuple(sorted({*self.snapshots, self.coarse_steps}))

    @property
    def num_rows_per_seed(self) -> int:
        """How many rows a seed must yield."""
        return len(self.moments)

    def pretraining(self) -> Trial:
        """The trial without its transfer, equal for all transfers of equal pretraining."""
        names = [field.name for field in dataclasses.fields(Trial)]
        shared = {name: getattr(self, name) for name in names}
        return Trial(**shared | {"curve": "", "value": 0, "snapshots": (), "coarse_steps": None})


def run_transfer_trial(trial: TransferTrial, seeds: tuple[int, ...]) -> list[Row]:
    """Rows of the trial, one for each seed and moment; `step` counts steps of the transfer.

    Columns: curve, value, step, seed; train_loss of the last batch; and

    - `{easy,hard}_error_own`: the model as it is;
    - `hard_error_old_head`: its backbone under the fine head that it was pretrained with;
    - `hard_error_old_backbone`: its head on the backbone as it was before the transfer;
    - `fine_left`, `common_left`: the largest alignments, over those before the transfer;
    - `alignment_ratio`, and after the first step of training `growth_ratio`: that of the growth of
      the largest alignments during the transfer, fine over common.
    """
    streams = Streams(seeds)
    pretrained = _pretrained(trial.pretraining(), seeds)
    network = HeadedNetwork(pretrained.copy(), _head(trial, pretrained, streams))
    table = _class_to_superclass(trial)
    examiner = _Examiner(trial, seeds, pretrained)
    batches = _superclass_batches(trial, streams)
    if trial.probes_first:
        probing = replace(trial.recipe, num_steps=_PROBE_STEPS)
        _run_out(
            train_headed(
                network, batches, table, probing, _PROBE_LEARNING_RATE, trains_backbone=False
            )
        )
    if trial.is_direct:
        return [row for step in trial.moments for row in examiner.rows(network, table, step)]
    rows = examiner.rows(network, table, 0) if 0 in trial.moments else []
    recipe = replace(trial.recipe, num_steps=trial.coarse_steps, learning_rate=trial.learning_rate)
    steps = train_headed(network, batches, table, recipe, trial.head_learning_rate)
    for step, loss in enumerate(steps, 1):
        if step in trial.moments:
            rows += examiner.rows(network, table, step, loss)
    return rows


@functools.lru_cache(maxsize=_NUM_KEPT)
def _pretrained(pretraining: Trial, seeds: tuple[int, ...]) -> Network:
    """The pretrained network; not to be trained in place."""
    streams = Streams(seeds)
    network = untrained(pretraining, streams)
    _run_out(train(network, training_batches(pretraining, streams, None), pretraining.recipe))
    return network


def _head(trial, network, streams):
    num_superclasses = trial.data.num_superclasses
    if trial.head == NEW_HEAD:
        return random_head(streams.head, num_superclasses, trial.num_neurons, NEW_HEAD_STD)
    return summing_head(network, trial.num_outputs if trial.head == FINE_HEAD else num_superclasses)


def _class_to_superclass(trial):
    if trial.head == FINE_HEAD:
        return trial.labelling().class_to_superclass
    return np.arange(trial.data.num_superclasses)


def _superclass_batches(trial, streams) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    size = trial.recipe.batch_size
    for batch in fresh_batches(trial.data, streams.transfer, size, trial.hard_share):
        yield batch.patches, trial.data.superclass_of(batch.leaves)


def _run_out(steps):
    for _ in steps:
        pass


class _Examiner:
    """Measures a transfer's networks against the network that it started from."""

    def __init__(self, trial, seeds, pretrained):
        self._trial, self._seeds, self._labelling = trial, seeds, trial.labelling()
        streams, num = Streams(seeds), trial.num_test_images
        self._tests = {
            kind: draw_samples(trial.data, streams.test, num, share)
            for kind, share in (("easy", 0.0), ("hard", 1.0))
        }
        self._old_head = summing_head(pretrained, trial.num_outputs)
        self._old_hidden = all_hidden_features(pretrained, self._tests["hard"].patches)
        self._old_alignment = self._alignment(pretrained)

    def rows(self, network: HeadedNetwork, table, step: int, loss=None) -> list[Row]:
        """One row a seed."""
        columns = {} if loss is None else {"train_loss": loss}
        columns |= self._errors(network, table) | self._alignments(network.backbone, loss)
        head = {"curve": self._trial.curve, "value": self._trial.value, "step": step}
        return [
            head | {"seed": seed} | {name: float(x[i]) for name, x in columns.items()}
            for i, seed in enumerate(self._seeds)
        ]

    def _errors(self, network, table):
        hidden = {
            kind: all_hidden_features(network.backbone, samples.patches)
            for kind, samples in self._tests.items()
        }
        old_table = self._labelling.class_to_superclass
        return {
            "easy_error_own": self._error("easy", hidden["easy"], network.head, table),
            "hard_error_own": self._error("hard", hidden["hard"], network.head, table),
            "hard_error_old_head": self._error("hard", hidden["hard"], self._old_head, old_table),
            "hard_error_old_backbone": self._error("hard", self._old_hidden, network.head, table),
        }

    def _error(self, kind, hidden, head, table):
        data = self._trial.data
        truth = data.superclass_of(self._tests[kind].leaves)
        return head_errors(hidden, head, table, truth, data.num_superclasses)

    def _alignment(self, network):
        return mean_alignment(network, self._trial.data, self._labelling.leaf_to_class)

    def _alignments(self, network, loss):
        now, old = self._alignment(network), self._old_alignment
        columns = {f"{name}_left": now[name] / old[name] for name in now}
        columns["alignment_ratio"] = now["fine"] / now["common"]
        if loss is not None:
            growth = {name: now[name] - old[name] for name in now}
            columns["growth_ratio"] = growth["fine"] / growth["common"]
        return columns
