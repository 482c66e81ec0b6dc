"""What a study will do and cost, before any of it is done."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from fine2coarse.files import read_json
from fine2coarse.labels.spec import Clusters, Cut, LabelSource, Level, Random
from fine2coarse.recipes.names import BASELINE, LINEAR_PROBE, PRETRAIN, STRAIGHT, TRANSFER
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.recipes.transfer_spec import NONE, SUMMED
from fine2coarse.runs.phase_folder import RESULT, RUNS, STATUS, TRIALS, last_phase
from fine2coarse.runs.transfers import (
    PROBE,
    Transfer,
    arm_candidates,
    baseline_candidates,
    fixed_transfer,
)
from fine2coarse.studies.run_plan import Run

BYTES_PER_VALUE = 4
# Copies of the trainable weights that an optimizer keeps besides the weights.
_SLOTS = {"sgd": 1, "adamw": 2, "lion": 1}
FINISHED, PARTLY, TO_DO = "finished", "partly", "to do"
PRETRAINING, TRANSFERRING, PROBING = "pretraining", "transferring", "probing"


@dataclasses.dataclass(frozen=True)
class Rate:
    """How long a phase takes on some machine.

    Attributes:
      seconds_per_step: of training.
      overhead_seconds: all else: building, compiling, evaluating, saving.
    """

    seconds_per_step: float
    overhead_seconds: float


@dataclasses.dataclass(frozen=True)
class PlannedPhase:
    """One phase of a run.

    Attributes:
      folder: below the run's.
      num_classes: of the head that is trained; None where they are not known before the data is
        there.
      phase: how it trains.
      kind: PRETRAINING (the baseline's whole training too), TRANSFERRING or PROBING.
      done_steps: that its newest checkpoint holds.
      is_finished: whether its result is there.
      rate: None where it was not measured.
    """

    folder: str
    num_classes: int | None
    phase: PhaseSpec
    kind: str = PRETRAINING
    done_steps: int = 0
    is_finished: bool = False
    rate: Rate | None = None

    @property
    def num_images(self) -> int:
        """Shown to the model, in all steps."""
        return self.phase.total_steps * self.phase.batch_size

    @property
    def seconds_left(self) -> float | None:
        """None where no rate is known."""
        if self.is_finished:
            return 0.0
        if self.rate is None:
            return None
        steps = self.phase.total_steps - self.done_steps
        return self.rate.overhead_seconds + steps * self.rate.seconds_per_step

    def num_bytes(self, num_backbone_parameters: int, num_features: int) -> int | None:
        """Disk of weights and kept checkpoints; None where the number of classes is unknown."""
        if self.num_classes is None:
            return None
        values = num_backbone_parameters + (num_features + 1) * self.num_classes
        averages = 1 if self.phase.optimizer.ema_decay else 0
        num_saved = -(-self.phase.total_steps // self.phase.checkpoint_every_steps)
        kept = min(self.phase.checkpoints_to_keep, num_saved) + bool(self.phase.validation_share)
        in_checkpoint = 1 + _SLOTS[self.phase.optimizer.name] + averages
        return BYTES_PER_VALUE * values * (kept * in_checkpoint + 1 + averages)


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of the study with its phases."""

    run: Run
    phases: tuple[PlannedPhase, ...]
    is_finished: bool = False

    @property
    def state(self) -> str:
        """FINISHED, PARTLY or TO_DO."""
        if self.is_finished:
            return FINISHED
        begun = any(phase.done_steps or phase.is_finished for phase in self.phases)
        return PARTLY if begun else TO_DO


def plan_study(
    recipe: Recipe,
    runs: Sequence[Run],
    num_classes: Callable[[Run], int | None],
    can_sum: Callable[[Run], bool],
    workdir: pathlib.Path,
) -> list[PlannedRun]:
    """The plan without times; reads the study's folder, writes nothing.

    Args:
      recipe: of the study.
      runs: which of its runs.
      num_classes: of a run's label space, and of the target for the baseline's.
      can_sum: whether an arm's classes can be summed into the target's; not asked of the baseline.
      workdir: the study's folder, which need not be there.
    """
    target = num_classes(Run(BASELINE, recipe.seeds[0]))
    planned = []
    for run in runs:
        if run.arm == BASELINE:
            phases = _baseline_phases(recipe, target)
        else:
            phases = _arm_phases(recipe, run, num_classes(run), target, can_sum(run))
        folder = workdir / RUNS / run.name
        is_finished = (folder / last_phase(run.arm) / RESULT).is_file()
        planned.append(
            PlannedRun(
                run,
                tuple(_with_progress(phase, folder, is_finished) for phase in phases),
                is_finished,
            )
        )
    return planned


def _baseline_phases(recipe: Recipe, num_targets: int | None) -> Iterable[PlannedPhase]:
    if not recipe.tries_candidates:
        yield PlannedPhase(BASELINE, num_targets, recipe.baseline_phase)
        return
    yield PlannedPhase(f"{TRIALS}/{STRAIGHT}", num_targets, recipe.baseline_phase)
    for transfer in baseline_candidates(recipe.transfer, recipe.pretrain, recipe.transfer_choices):
        yield from _stages(transfer, f"{TRIALS}/{transfer.name}", num_targets, num_targets)


def _arm_phases(
    recipe: Recipe,
    run: Run,
    num_classes: int | None,
    num_targets: int | None,
    can_sum: bool,
) -> Iterable[PlannedPhase]:
    pretrain, phase = recipe.phases_of(run.arm)
    yield PlannedPhase(PRETRAIN, num_classes, pretrain)
    if recipe.tries_candidates:
        for transfer in arm_candidates(phase, recipe.transfer_choices, can_sum):
            yield from _stages(transfer, f"{TRIALS}/{transfer.name}", num_classes, num_targets)
        return
    transfer = fixed_transfer(phase, recipe.transfer_head, recipe.transfer_mode, can_sum)
    yield from _stages(transfer, TRANSFER, num_classes, num_targets)


def _stages(
    transfer: Transfer, folder: str, num_classes: int | None, num_targets: int | None
) -> Iterable[PlannedPhase]:
    """The phases that train; a transfer that trains nothing has none."""
    if transfer.mode == NONE:
        return
    classes = num_classes if transfer.head == SUMMED else num_targets
    *probes, last = transfer.stages()
    for stage in probes:
        yield PlannedPhase(f"{folder}/{PROBE}", classes, stage.phase, PROBING)
    kind = PROBING if last.mode == LINEAR_PROBE else TRANSFERRING
    yield PlannedPhase(folder, classes, last.phase, kind)


def _with_progress(
    planned: PlannedPhase, run_folder: pathlib.Path, is_finished: bool
) -> PlannedPhase:
    """The phase as far as it is done; of a finished run it is, though its folder may be gone."""
    folder = run_folder / planned.folder
    if is_finished or (folder / RESULT).is_file():
        return dataclasses.replace(planned, is_finished=True, done_steps=planned.phase.total_steps)
    if (folder / STATUS).is_file():
        return dataclasses.replace(planned, done_steps=read_json(folder / STATUS)["step"])
    return planned


def shape_of(planned: PlannedPhase) -> tuple[str, PhaseSpec]:
    """What phases that take equally long a step, but for their classes, have in common."""
    alike = dataclasses.replace(
        planned.phase,
        total_steps=1,
        optimizer=dataclasses.replace(
            planned.phase.optimizer, learning_rate=1.0, warmup_steps=0, weight_decay=0.0
        ),
    )
    return planned.kind, alike


def with_rates(
    plan: Sequence[PlannedRun],
    measure: Callable[[Run, PlannedPhase], Rate],
) -> list[PlannedRun]:
    """The plan with times: of each shape the phases with fewest and most classes are measured.

    Times of those between are interpolated: the head's cost is linear in its classes.
    """
    groups: dict[object, list[tuple[Run, PlannedPhase]]] = {}
    for planned in plan:
        for phase in planned.phases:
            if not phase.is_finished:
                groups.setdefault(shape_of(phase), []).append((planned.run, phase))
    rates: dict[object, dict[int, Rate]] = {}
    for shape, members in groups.items():
        ordered = sorted(members, key=lambda member: member[1].num_classes)
        ends = {phase.num_classes: (run, phase) for run, phase in (ordered[0], ordered[-1])}
        rates[shape] = {classes: measure(*member) for classes, member in ends.items()}
    return [
        dataclasses.replace(
            planned,
            phases=tuple(
                phase
                if phase.is_finished
                else dataclasses.replace(
                    phase, rate=interpolate(rates[shape_of(phase)], phase.num_classes)
                )
                for phase in planned.phases
            ),
        )
        for planned in plan
    ]


def interpolate(rates: Mapping[int, Rate], num_classes: int) -> Rate:
    """The rate between those of the fewest and of the most classes."""
    low, high = min(rates), max(rates)
    share = (num_classes - low) / (high - low) if high > low else 0.0

    def between(field: str) -> float:
        a, b = getattr(rates[low], field), getattr(rates[high], field)
        return a + share * (b - a)

    return Rate(between("seconds_per_step"), between("overhead_seconds"))


def known_num_classes(source: LabelSource, level_sizes: Mapping[str, int]) -> int | None:
    """How many classes a label source makes, as far as its options and the levels tell."""
    if isinstance(source, Level):
        return level_sizes.get(source.level)
    if isinstance(source, Random) and source.as_many_as_level:
        return level_sizes.get(source.as_many_as_level)
    if isinstance(source, Cut) and source.nodes:
        return len(source.nodes)
    if isinstance(source, Clusters):
        return source.num_clusters or None
    return source.num_classes or None if isinstance(source, Cut | Random) else None
