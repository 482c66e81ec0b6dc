"""The phases of a run: pretraining, the trials of its transfer, and the one that counts."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fine2coarse.claims import Claim
from fine2coarse.hub.backbone import SavedModelBackbone
from fine2coarse.labels.class_map import ClassMap
from fine2coarse.labels.space import LabelSpace
from fine2coarse.models import Summation
from fine2coarse.recipes.names import BASELINE, DIRECT, PRETRAIN, STRAIGHT, TRANSFER
from fine2coarse.recipes.phase_spec import PhaseSpec
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.recipes.transfer_spec import AVERAGED, KNOWN, SUMMED
from fine2coarse.runs.claimed_run import ClaimedFolder, ClaimedObserver
from fine2coarse.runs.classifiers import read_summation
from fine2coarse.runs.execution import execute
from fine2coarse.runs.phase_folder import LABEL_SPACE, TRIALS, PhaseFolder, RunError
from fine2coarse.runs.phase_run import PhaseRun
from fine2coarse.runs.pretrained import Pretrained, is_export, start_recipe
from fine2coarse.runs.progress import ProgressBar
from fine2coarse.runs.starting_weights import describe_start
from fine2coarse.runs.stored_recipe import check_same
from fine2coarse.runs.transfers import (
    PROBE,
    Transfer,
    arm_candidates,
    baseline_candidates,
    best,
    fixed_transfer,
)
from fine2coarse.studies.arm_spaces import SpaceSummary
from fine2coarse.studies.run_plan import Run
from fine2coarse.studies.study_data import StudyData
from fine2coarse.studies.worker import RunFailed
from fine2coarse.training.engine import Engine
from fine2coarse.training.loop import NonFiniteLossError

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class TransferStart:
    """What transfers start from.

    Attributes:
      start_from: folder of a finished phase run or an export; None where the backbone brings its
        own weights.
      class_map: from the classes of its head to the target's; None where there is none.
      fine_loss: that the head was pretrained with.
      backbone: a SavedModel in place of the recipe's backbone.
      can_sum: whether summed classes distinguish all targets.
    """

    start_from: pathlib.Path | None
    class_map: ClassMap | None = None
    fine_loss: str = "softmax"
    backbone: SavedModelBackbone | None = None
    can_sum: bool = False

    @classmethod
    def of_run(cls, path: pathlib.Path, data: StudyData, space: LabelSpace) -> TransferStart:
        """A finished phase run whose head was trained on `space`."""
        folder = PhaseFolder(path)
        class_map, summation = data.class_map(space), read_summation(folder)
        if summation is None:
            loss = folder.recipe()["phase"]["loss"]
            return cls(path, class_map, loss, can_sum=data.can_sum(class_map))
        # Its head sums already: sums of its sums.
        further = class_map and summation.class_map.then(class_map)
        return cls(path, further, summation.fine_loss, can_sum=data.can_sum(further))


def find_start(recipe: Recipe, data: StudyData, pretrained: Pretrained) -> TransferStart:
    """What a transfer by hand starts from; a head can be summed only where its classes are known.

    Raises:
      LabelSpaceError: where a run's label space was made for other images.
    """
    path = pretrained.start_from
    if path is None or is_export(path) or not (path / LABEL_SPACE).is_file():
        return TransferStart(path, backbone=pretrained.backbone)
    folder = PhaseFolder(path)
    space, told = LabelSpace.load(path / LABEL_SPACE), folder.recipe()
    share = told.get("held_out_share", 0.0)
    if told["dataset_fingerprint"] != data.dataset_fingerprint:
        # Its labels are of images that this recipe does not hold.
        return TransferStart(path, backbone=pretrained.backbone)
    if recipe.tries_candidates and share != recipe.held_out_share:
        _log.warning(
            "%s was pretrained with %g of the training images held out, and transfers are chosen "
            "on %g: images that it has seen favour its own head. Pretrain with this recipe, or use "
            "--config.transfer_candidates=off",
            path,
            share,
            recipe.held_out_share,
        )
    return dataclasses.replace(
        TransferStart.of_run(path, data, space), backbone=pretrained.backbone
    )


class Executor:
    """Does phase runs in their folders, under a claim where there is one.

    Args:
      engine: the process's engine.
      title: of the run, for people to read.
      announce: told one line for what a person may want to know.
      claim: on the run; None where no other process may work on it, or it is only read.
      publish: told a folder whenever there is a state from which its phase could go on.
    """

    def __init__(
        self,
        engine: Engine,
        title: str,
        announce: Callable[[str], None] = _log.info,
        claim: Claim | None = None,
        publish: Callable[[pathlib.Path], None] = lambda path: None,
    ) -> None:
        self._engine, self._title, self._claim = engine, title, claim
        self._publish, self.announce = publish, announce

    def do(
        self,
        run: PhaseRun,
        path: pathlib.Path,
        *,
        earlier: Mapping[str, Any] | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Does a phase run, or reads back what a finished one found: see `execute`.

        Raises:
          RunFailed: where the loss is not finite.
        """
        try:
            with ProgressBar(f"{self._title} {_short(path)}") as bar:
                observer = ClaimedObserver(bar, self._claim) if self._claim else bar
                return execute(
                    run, self.folder(path), self._engine, observer, earlier=earlier, notes=notes
                )
        except NonFiniteLossError as error:
            raise RunFailed(str(error)) from error

    def adopt(
        self, chosen: PhaseFolder, final: pathlib.Path, notes: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Makes a finished trial the one that counts; one process writes, all get the result."""
        if self._engine.is_chief:
            self.folder(final).adopt(chosen, notes)
        self._engine.wait_for_all()
        return PhaseFolder(final).result()

    def folder(self, path: pathlib.Path) -> PhaseFolder:
        """A phase run's folder, to be written under the claim."""
        if self._claim is None:
            return PhaseFolder(path)
        return ClaimedFolder(path, self._claim, self._publish)


def _short(path: pathlib.Path) -> str:
    return f"{TRIALS}/{path.name}" if path.parent.name == TRIALS else path.name


def do_run(
    recipe: Recipe, run: Run, data: StudyData, folder: pathlib.Path, executor: Executor
) -> None:
    """Does all phases of a run below its folder.

    Raises:
      RunFailed: where one of them cannot be done.
    """
    if run.arm == BASELINE:
        do_baseline(recipe, run.seed, data, folder, executor)
        return
    space = data.spaces[run.arm, run.seed]
    pretrained = executor.do(
        pretraining_run(recipe, space, run.seed, data, run.arm), folder / PRETRAIN
    )
    source = TransferStart.of_run(folder / PRETRAIN, data, space)
    _, phase = recipe.phases_of(run.arm)
    do_transfer(recipe, phase, run.seed, data, source, folder / TRANSFER, executor, pretrained)


def do_baseline(
    recipe: Recipe, seed: int, data: StudyData, folder: pathlib.Path, executor: Executor
) -> None:
    """Trains on the target alone; where transfers are tried, tries as many last phases."""
    straight = baseline_run(recipe, seed, data)
    if not recipe.tries_candidates:
        executor.do(straight, folder / BASELINE, notes={"transfer": STRAIGHT})
        return
    trials, final = folder / TRIALS, folder / BASELINE
    source = TransferStart(trials / STRAIGHT)
    candidates = baseline_candidates(recipe.transfer, recipe.pretrain, recipe.transfer_choices)
    if PhaseFolder(final).is_finished:
        possible = _last_phase_runs(recipe, seed, data, source, candidates)
        possible[STRAIGHT] = (straight, 0)
        _check_finished(final, possible, {"recipe": straight.recipe()})
        return
    results = {STRAIGHT: executor.do(straight, trials / STRAIGHT)}
    failed = _try(recipe, seed, data, source, candidates, trials, executor, results)
    _take_best(results, failed, trials, final, executor)


def do_transfer(
    recipe: Recipe,
    phase: PhaseSpec,
    seed: int,
    data: StudyData,
    source: TransferStart,
    final: pathlib.Path,
    executor: Executor,
    pretrained: Mapping[str, Any] | None = None,
    trials: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Transfers a pretrained model to the target: by the recipe's transfer, or the best of several.

    Args:
      recipe: of the study.
      phase: of the transfer.
      seed: of head, order and augmentation.
      data: of the study.
      source: what to start from.
      final: folder of the transfer that counts.
      executor: does the phase runs.
      pretrained: result of the pretraining that `source` names, evaluated on the same images.
      trials: folder of those tried; beside `final` where it is left out.

    Returns:
      The result of the transfer that counts.
    """
    if not recipe.tries_candidates:
        transfer = fixed_transfer(phase, recipe.transfer_head, recipe.transfer_mode, source.can_sum)
        notes = {"transfer": transfer.name}
        return _do_stages(recipe, seed, data, source, transfer, final, executor, notes)
    trials = trials or final.parent / TRIALS
    candidates = arm_candidates(phase, recipe.transfer_choices, source.can_sum)
    if PhaseFolder(final).is_finished:
        possible = _last_phase_runs(recipe, seed, data, source, candidates)
        return _check_finished(final, possible, start_recipe(source.start_from))
    results: dict[str, Mapping[str, Any]] = {}
    # The pretraining was evaluated on the same images already, but for averages over crops.
    is_evaluated = pretrained and "held_out" in pretrained and not recipe.test_crops
    direct = next((t for t in candidates if (t.head, t.mode) == KNOWN[DIRECT]), None)
    if direct and is_evaluated:
        results[direct.name] = {**pretrained, "elapsed_seconds": 0.0, "images_seen": 0, "cost": {}}
    failed = _try(recipe, seed, data, source, candidates, trials, executor, results)
    if direct is None or not is_evaluated or _best_of(results) != direct.name:
        return _take_best(results, failed, trials, final, executor)
    executor.announce(_choice_line(results))
    notes = _told(results, failed)
    return _do_stages(recipe, seed, data, source, direct, final, executor, notes)


def _try(
    recipe: Recipe,
    seed: int,
    data: StudyData,
    source: TransferStart,
    candidates: Sequence[Transfer],
    trials: pathlib.Path,
    executor: Executor,
    results: dict[str, Mapping[str, Any]],
) -> dict[str, str]:
    """Does every candidate that has no result yet, and adds its result, in their order.

    Returns:
      Why candidates failed; the others are there to choose from.

    Raises:
      RunFailed: where all of them did.
    """
    known, failed = dict(results), {}
    results.clear()
    results.update({name: result for name, result in known.items() if name == STRAIGHT})
    for transfer in candidates:
        try:
            results[transfer.name] = known.get(transfer.name) or _do_stages(
                recipe, seed, data, source, transfer, trials / transfer.name, executor
            )
        except RunFailed as error:
            failed[transfer.name] = str(error)
            executor.announce(f"transfer {transfer.name} failed and is left out: {error}")
    if not results:
        raise RunFailed("; ".join(f"transfer {name}: {why}" for name, why in failed.items()))
    return failed


def _do_stages(
    recipe: Recipe,
    seed: int,
    data: StudyData,
    source: TransferStart,
    transfer: Transfer,
    path: pathlib.Path,
    executor: Executor,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Does a transfer: its linear probe first, if it has one, in a folder within."""
    run = transfer_run(recipe, seed, data, source, transfer)
    *probes, last = transfer.stages()
    earlier = None
    for stage in probes:
        # Not evaluated, and said first: a probe that is evaluated takes no test crops.
        probe = _as_stage(dataclasses.replace(run, evaluate=None, held_out=None), stage)
        earlier = executor.do(probe, path / PROBE)
        run = dataclasses.replace(run, start_from=path / PROBE, from_branch=False)
    run = _as_stage(run, last)
    return executor.do(run, path, earlier=earlier, notes=notes)


def _last_phase_runs(
    recipe: Recipe,
    seed: int,
    data: StudyData,
    source: TransferStart,
    candidates: Sequence[Transfer],
) -> dict[str, tuple[PhaseRun, int]]:
    """The phase run that ends each transfer, and how many probes come before it, by name."""
    found = {}
    for transfer in candidates:
        *probes, last = transfer.stages()
        run = transfer_run(recipe, seed, data, source, transfer)
        found[transfer.name] = _as_stage(run, last), len(probes)
    return found


def _as_stage(run: PhaseRun, stage: Transfer) -> PhaseRun:
    return dataclasses.replace(run, head=stage.head, mode=stage.mode, phase=stage.phase)


def _check_finished(
    final: pathlib.Path,
    possible: Mapping[str, tuple[PhaseRun, int]],
    start: str | Mapping[str, Any],
) -> dict[str, Any]:
    """The result of a finished transfer, whose trials need not be there any more.

    Args:
      final: its folder.
      possible: transfer → its last phase run, and how many probes come before it.
      start: recipe of what transfers start from.

    Raises:
      RunError: where this recipe does not try it, or not in this way, or from another start.
    """
    folder = PhaseFolder(final)
    result, found = folder.result(), folder.recipe()
    name = result.get("transfer", "")
    if name not in possible:
        raise RunError(
            f"{final} was finished by transfer {name!r}, which this recipe does not try: it tries "
            f"{', '.join(possible)}. Use another folder, or go back to that recipe"
        )
    run, num_probes = possible[name]
    for _ in range(num_probes):  # the probe's start is the transfer's
        found["start_from"] = found["start_from"]["recipe"]["start_from"]
        found.pop("from_branch", None)
    start_of = describe_start(run.start) if name == STRAIGHT else start
    wanted = run.own_recipe() | {"start_from": start_of}
    if num_probes:
        wanted.pop("from_branch", None)
    check_same(found, wanted, f"run folder {final}")
    return result


def _best_of(results: Mapping[str, Mapping[str, Any]]) -> str:
    wrong = {name: result["held_out"]["num_wrong"] for name, result in results.items()}
    return best(wrong, list(results))


def _take_best(
    results: Mapping[str, Mapping[str, Any]],
    failed: Mapping[str, str],
    trials: pathlib.Path,
    final: pathlib.Path,
    executor: Executor,
) -> dict[str, Any]:
    executor.announce(_choice_line(results))
    chosen = PhaseFolder(trials / _best_of(results))
    return executor.adopt(chosen, final, _told(results, failed))


def _told(results: Mapping[str, Mapping[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """What the final result records about all that was tried."""
    kept = ("held_out", "evaluation", "elapsed_seconds", "images_seen", "cost")
    told = {
        "transfer": _best_of(results),
        "candidates": {
            name: {key: result[key] for key in kept} for name, result in results.items()
        },
    }
    return told | ({"failed_candidates": dict(failed)} if failed else {})


def _choice_line(results: Mapping[str, Mapping[str, Any]]) -> str:
    counts = {name: result["held_out"] for name, result in results.items()}
    told = ", ".join(
        f"{name} {100 * c['num_wrong'] / c['num_images']:.2f} %" for name, c in counts.items()
    )
    return f"transfer {_best_of(results)} taken; errors on held-out training images: {told}"


def baseline_run(recipe: Recipe, seed: int, data: StudyData) -> PhaseRun:
    """The phase run that trains on the target alone, for as many images as the other arms see."""
    run = _phase_run(recipe, BASELINE, data.target, seed, data, recipe.baseline_phase)
    branch_step = recipe.pretrain.total_steps if recipe.tries_candidates else 0
    return dataclasses.replace(run, branch_step=branch_step)


def pretraining_run(
    recipe: Recipe, space: LabelSpace | SpaceSummary, seed: int, data: StudyData, arm: str = ""
) -> PhaseRun:
    """The phase run that pretrains on a label space, evaluated by its direct use if it has one.

    Of a space's summary, only the phase run's recipe can be had.
    """
    phase, _ = recipe.phases_of(arm)
    run = _phase_run(recipe, PRETRAIN, space, seed, data, phase)
    if space is not data.target:
        run = dataclasses.replace(run, train=data.train)
    class_map = data.class_map(space)
    if class_map is None:
        return dataclasses.replace(run, evaluate=None, held_out=None)
    return dataclasses.replace(run, target=data.target, class_map=class_map)


def transfer_run(
    recipe: Recipe, seed: int, data: StudyData, source: TransferStart, transfer: Transfer
) -> PhaseRun:
    """The phase run that transfers a pretrained model (its only stage, or the last)."""
    run = _phase_run(recipe, TRANSFER, data.target, seed, data, transfer.phase)
    summation = None
    if transfer.head == SUMMED:
        summation = Summation(source.class_map, source.fine_loss, transfer.phase.loss)
    return dataclasses.replace(
        run,
        head=transfer.head,
        mode=transfer.mode,
        start_from=source.start_from,
        from_branch=transfer.from_branch,
        class_map=source.class_map if transfer.head == AVERAGED else None,
        summation=summation,
        backbone=source.backbone or run.backbone,
    )


def _phase_run(
    recipe: Recipe,
    purpose: str,
    space: LabelSpace | SpaceSummary,
    seed: int,
    data: StudyData,
    phase: PhaseSpec,
) -> PhaseRun:
    return PhaseRun(
        purpose=purpose,
        space=space,
        phase=phase,
        backbone=recipe.backbone,
        seed=seed,
        precision=recipe.precision,
        train=data.transfer_train,
        evaluate=data.evaluate,
        held_out=data.held_out,
        held_out_share=recipe.held_out_share,
        dataset_fingerprint=data.dataset_fingerprint,
        dataset_name=data.name,
        packed_pixels=data.packed_pixels,
        start=recipe.start,
        test_crops=recipe.test_crops,
    )
