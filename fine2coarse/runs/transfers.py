"""Ways to use a pretrained model for the coarse task, and which of them a study tries.

An arm's *candidates* are tried on training images that are held out from its training, never on
test images. The first is the model as it is (`direct`), then come transfers from the summed head
and from a new one. The baseline, trained on the target alone, is given as many: the same training
to its end (`straight`), and other last phases that branch off it where the arms' transfers begin.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from fine2coarse.errors import RecipeError
from fine2coarse.recipes.names import DIRECT, LINEAR_PROBE, NEW
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.transfer_spec import (
    AUTO,
    AVERAGED,
    FINETUNE,
    KEPT,
    KNOWN,
    NONE,
    PROBE_THEN_FINETUNE,
    SUMMED,
    TransferSpec,
    check_transfer,
)

PROBE = "probe"  # folder of the linear probe, within the transfer that it comes before
# A tenth of the rate: where that is better, the recipe's own rate unlearns what was learnt.
SLOW_FACTOR = 0.1
# "More decay" of the baseline's last phase, as a multiple of the larger decay of both phases.
DECAY_FACTOR = 10.0
# Share of a transfer's steps that its linear probe takes; what is left is fine-tuning.
PROBE_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Transfer:
    """A transfer with all that determines it but the run it starts from.

    Attributes:
      name: of the candidate.
      head: one of `HEADS`, or 'kept': the head of the run it starts from, as it is.
      mode: one of `MODES`.
      phase: steps, optimizer and the rest.
      from_branch: start at the step where the baseline's other last phases branch off.
    """

    name: str
    head: str
    mode: str
    phase: PhaseSpec
    from_branch: bool = False

    def stages(self) -> list[Transfer]:
        """The transfer itself; a linear probe before fine-tuning is a stage of its own.

        A single step is all fine-tuning.
        """
        if self.mode != PROBE_THEN_FINETUNE:
            return [self]
        if self.phase.total_steps < 2:
            return [dataclasses.replace(self, mode=FINETUNE)]
        num_probe_steps = max(round(self.phase.total_steps * PROBE_SHARE), 1)
        probe = _shortened(self.phase, num_probe_steps)
        rest = _shortened(self.phase, self.phase.total_steps - num_probe_steps)
        return [
            dataclasses.replace(self, mode=LINEAR_PROBE, phase=probe),
            dataclasses.replace(self, head=KEPT, mode=FINETUNE, phase=rest, from_branch=False),
        ]


def _shortened(phase: PhaseSpec, total_steps: int) -> PhaseSpec:
    """The phase in fewer steps, the warmup shortened with it."""
    warmup_steps = phase.optimizer.warmup_steps * total_steps // phase.total_steps
    optimizer = dataclasses.replace(phase.optimizer, warmup_steps=warmup_steps)
    return dataclasses.replace(phase, total_steps=total_steps, optimizer=optimizer)


# In this order: of equals the first is taken, the one that departs least from the pretraining.
_OF_SUMMABLE_ARMS = {
    DIRECT: TransferSpec(SUMMED, NONE),
    "summed_slow": TransferSpec(SUMMED, FINETUNE, SLOW_FACTOR),
    "summed": TransferSpec(SUMMED, FINETUNE),
    NEW: TransferSpec(NEW, FINETUNE),
}
# Where the pretraining's classes say nothing of the target's: arms of other images, or coarser.
_OF_OTHER_ARMS = {
    "probe_then_finetune_slow": TransferSpec(NEW, PROBE_THEN_FINETUNE, SLOW_FACTOR),
    "probe_then_finetune": TransferSpec(NEW, PROBE_THEN_FINETUNE),
    "new_slow": TransferSpec(NEW, FINETUNE, SLOW_FACTOR),
    NEW: TransferSpec(NEW, FINETUNE),
}


_CANNOT_SUM = (
    "the pretraining's classes cannot be summed into the target's (some target has the largest "
    "share of no class, targets are no nodes of the pretraining's taxonomy, or the start is no run "
    "with its label space)"
)


def arm_candidates(
    phase: PhaseSpec, choices: Mapping[str, TransferSpec], can_sum: bool
) -> list[Transfer]:
    """The transfers that an arm tries, in order.

    Args:
      phase: of the recipe's transfer.
      choices: the recipe's own list; empty for the default one.
      can_sum: whether the arm's classes can be summed into the target's and distinguish these.
        Otherwise choices of a summed or averaged head are left out.

    Raises:
      RecipeError: where nothing is left of the choices.
    """
    chosen = dict(choices) or (_OF_SUMMABLE_ARMS if can_sum else _OF_OTHER_ARMS)
    possible = {n: spec for n, spec in chosen.items() if can_sum or spec.head == NEW}
    # A tie goes to what trains nothing. (A recipe card's names come in alphabetical order.)
    possible = dict(sorted(possible.items(), key=lambda item: item[1].mode != NONE))
    if not possible:
        raise RecipeError(
            f"transfer_choices {sorted(choices)} keep the pretrained head, but {_CANNOT_SUM}: list "
            "one with head='new'"
        )
    return [_transfer(name, spec, phase) for name, spec in possible.items()]


def _transfer(name: str, spec: TransferSpec, phase: PhaseSpec) -> Transfer:
    return Transfer(name, spec.head, spec.mode, _with_optimizer(phase, spec))


def _with_optimizer(phase: PhaseSpec, spec: TransferSpec) -> PhaseSpec:
    optimizer = spec.optimizer or phase.optimizer
    rate = optimizer.learning_rate * spec.learning_rate_factor
    return dataclasses.replace(phase, optimizer=dataclasses.replace(optimizer, learning_rate=rate))


def baseline_candidates(
    phase: PhaseSpec, pretrain: PhaseSpec, choices: Mapping[str, TransferSpec]
) -> list[Transfer]:
    """Last phases that the baseline tries besides going straight on, as many as the arms have.

    Args:
      phase: of the recipe's transfer.
      pretrain: of its pretraining.
      choices: the recipe's own list, each of which the baseline gets a counterpart of (its own
        head in place of a summed or averaged one); empty for the default: going on at the
        transfer's rate, the same with more weight decay, and a new head.
    """
    if choices:
        specs = {name: spec for name, spec in choices.items() if spec.mode != NONE}
        return [
            dataclasses.replace(
                _transfer(name, spec, phase),
                head=NEW if spec.head == NEW else KEPT,
                from_branch=True,
            )
            for name, spec in specs.items()
        ]
    go_on = Transfer("continue", KEPT, FINETUNE, phase, from_branch=True)
    decay = DECAY_FACTOR * max(phase.optimizer.weight_decay, pretrain.optimizer.weight_decay)
    if decay:
        optimizer = dataclasses.replace(phase.optimizer, weight_decay=decay)
        other = dataclasses.replace(
            go_on, name="more_decay", phase=dataclasses.replace(phase, optimizer=optimizer)
        )
    else:
        slow = TransferSpec(learning_rate_factor=SLOW_FACTOR)
        other = dataclasses.replace(go_on, name="continue_slow", phase=_with_optimizer(phase, slow))
    return [go_on, other, dataclasses.replace(go_on, name=NEW, head=NEW)]


def fixed_transfer(phase: PhaseSpec, head: str, mode: str, can_sum: bool) -> Transfer:
    """The one transfer of a recipe that tries none, named after its head and mode.

    'auto' stands for fine-tuning from the summed head, or where classes cannot be summed for a new
    head, probed and then fine-tuned.

    Raises:
      RecipeError: where a head is to be summed or averaged that cannot be, or mode 'none' is left
        with a new head.
    """
    if not can_sum and (head in (SUMMED, AVERAGED) or mode == NONE):
        raise RecipeError(
            f"transfer_head={head!r} with transfer_mode={mode!r}: {_CANNOT_SUM}; use "
            "transfer_head='new' with transfer_mode='probe_then_finetune'"
        )
    if head == AUTO:
        # A named mode other than 'none' can train a new head too, but the summed one knows more.
        head = SUMMED if can_sum else NEW
    if mode == AUTO:
        mode = FINETUNE if head != NEW else PROBE_THEN_FINETUNE
    check_transfer(head, mode)
    named = {transfer: name for name, transfer in KNOWN.items()}
    name = named.get((head, mode)) or (mode if head == NEW else f"{head}_{mode}")
    return Transfer(name, head, mode, phase)


def best(num_wrong: Mapping[str, int], order: Sequence[str]) -> str:
    """The candidate with the fewest errors on held-out training images, of equals the first."""
    return min(order, key=lambda name: num_wrong[name])
