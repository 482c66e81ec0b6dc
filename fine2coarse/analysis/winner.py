"""A study's winner: the run whose model one would take, why, and how certain its lead is.

The best arm is the one of least mean test error over its seeds; that may be the baseline. Of its
runs the one with the fewest errors on held-out training images is taken: test images choose no run.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import statistics
from collections.abc import Mapping, Sequence

from fine2coarse import formats
from fine2coarse.analysis.comparison import LOWER, TOO_FEW_SEEDS, ArmComparison, Comparison
from fine2coarse.analysis.finished import FinishedRun
from fine2coarse.analysis.statistics import compare
from fine2coarse.analysis.study_folder import StudyFolder
from fine2coarse.analysis.uses import TRANSFERRED, by_arm
from fine2coarse.recipes.names import BASELINE, DIRECT
from fine2coarse.runs.phase_folder import RunError


@dataclasses.dataclass(frozen=True)
class Winner:
    """The run of a study whose model is best, as far as is known.

    Attributes:
      arm: its arm; 'baseline' where no label space beat it.
      seed: of the run.
      run: the run's folder; an address where the study is on another file system.
      phase: folder of the phase that counts; its model is what is exported and predicts.
      use: 'direct' (the pretrained model as it is, probabilities summed), 'transferred' or
        'baseline'.
      transfer: name of the transfer, or of the baseline's last phase, that was chosen.
      error: mean test error of the arm over its finished seeds; a fraction.
      num_seeds: of the arm, finished.
      held_out: (wrong, images) of the run on held-out training images; None where none were.
      verdict: of the arm against the baseline, as in `StudyResult.table`; '' where there is no
        test.
      is_partial: whether runs of the study are not finished yet.
      sentence: which run, why, which use, and how certain its lead is.
    """

    arm: str
    seed: int
    run: pathlib.Path | str
    phase: pathlib.Path | str
    use: str
    transfer: str
    error: float
    num_seeds: int
    held_out: tuple[int, int] | None
    verdict: str
    is_partial: bool
    sentence: str

    def told(self, workdir: str | os.PathLike) -> str:
        """The sentence, and below it the commands that use the model of this study.

        Args:
          workdir: the study's folder, as it was given; of a study on another file system its
            copy, which no command is told of.
        """
        place = self.run if isinstance(self.run, str) else workdir
        return "\n".join(filter(None, [self.sentence, next_commands(os.fspath(place))]))

    def moved(self, before: pathlib.Path, address: str) -> Winner:
        """The same with the study's folder at an address, such as gs://bucket/folder.

        Args:
          before: the study's folder.
          address: without a slash at its end.
        """
        run, phase = (
            f"{address}/{path.relative_to(before).as_posix()}" for path in (self.run, self.phase)
        )
        sentence = self.sentence.replace(str(self.run), run)
        return dataclasses.replace(self, run=run, phase=phase, sentence=sentence)


def find_winner(study: StudyFolder, compared: Sequence[ArmComparison] | None = None) -> Winner:
    """The winner of a study, as far as its runs are finished.

    Args:
      study: with at least one finished run.
      compared: its arms, where they are compared already.
    """
    errors = {
        arm: statistics.fmean(run.row.error() for run in of_seed.values())
        for arm, of_seed in by_arm(study.runs).items()
    }
    arm = min(errors, key=lambda name: (errors[name], name != BASELINE))
    runs = list(by_arm(study.runs)[arm].values())
    is_chosen = all(_held_out(one) is not None for one in runs)
    run = min(runs, key=lambda one: (_held_out_error(one) if is_chosen else 0.0, one.seed))
    if compared is None:
        try:
            compared = compare(study.runs)
        except RunError:  # predictions are damaged; the report says which
            compared = []
    found = next((c.transferred for c in compared if c.arm == arm), None)
    is_partial = len(study.runs) < study.num_planned
    told = [
        f"Best: {_title(arm, run.seed)} ({run.folder}): {_why_arm(arm, errors, len(runs), found)}",
        _what_use(run),
        _why_run(run, runs),
        f"Partial: {len(study.runs)} of {study.num_planned} runs are finished."
        if is_partial
        else "",
    ]
    return Winner(
        arm=arm,
        seed=run.seed,
        run=run.folder,
        phase=run.tested_folder,
        use=BASELINE if run.is_baseline else DIRECT if run.transfer == DIRECT else TRANSFERRED,
        transfer=run.transfer,
        error=errors[arm],
        num_seeds=len(runs),
        held_out=_held_out(run),
        verdict=found.verdict if found is not None and arm != BASELINE else "",
        is_partial=is_partial,
        sentence=" ".join(filter(None, told)),
    )


def next_commands(workdir: str) -> str:
    """The commands that classify with a study's winner, and export it, quoted for a shell.

    Args:
      workdir: the study's folder, as it was given.

    Returns:
      A line before them, and two lines; empty where the folder is on another file system, such as
      gs://.
    """
    if "://" in workdir:
        return ""
    out = pathlib.PurePath("exported") / (pathlib.Path(workdir).resolve().name or "study")
    run = f"--run={workdir}"
    predict = shlex.join(["fine2coarse", "predict", run, "PHOTO.jpg"])
    export = shlex.join(["fine2coarse", "export", run, "--head", f"--out={out}"])
    return f"Use it:\n  {predict}\n  {export}"


def _title(arm: str, seed: int) -> str:
    return f"the baseline, seed {seed}" if arm == BASELINE else f"{arm}, seed {seed}"


def _why_arm(
    arm: str, errors: Mapping[str, float], num_seeds: int, found: Comparison | None
) -> str:
    seeds = formats.counted(num_seeds, "seed")
    mean = "test error" if num_seeds == 1 else "mean test error"
    own = f"{formats.percent(errors[arm], 2)} % over {seeds}"
    others = {name: error for name, error in errors.items() if name != arm}
    if arm != BASELINE:
        return f"the lowest {mean}, {own} ({_against_baseline(errors.get(BASELINE), found)})."
    if not others:
        return f"no label space is finished yet; its {mean} is {own}."
    second = min(others, key=others.get)
    return (
        f"no label space made fewer errors. Its {mean} is {own}; that of the next arm, {second}, "
        f"{formats.percent(others[second], 2)} %."
    )


def _against_baseline(error: float | None, found: Comparison | None) -> str:
    """The baseline's error, and whether the lead over it is chance."""
    if error is None:
        return "the baseline is not finished"
    told = f"the baseline's is {formats.percent(error, 2)} %"
    if found is None or not found.verdict:
        return f"{told}; whether that is chance is not tested"
    if found.verdict == TOO_FEW_SEEDS:
        return f"{told}; one seed cannot tell whether that is chance, use 3 or more"
    p_value = formats.p_value(found.adjusted_p_value)
    equals = "" if p_value.startswith("<") else "= "
    chance = "more than chance" if found.verdict == LOWER else "perhaps chance"
    return f"{told}; {chance}, p {equals}{p_value}" if p_value else f"{told}; {chance}"


def _why_run(run: FinishedRun, runs: Sequence[FinishedRun]) -> str:
    if len(runs) == 1:
        return ""
    held_out = _held_out(run)
    if held_out is None or any(_held_out(one) is None for one in runs):
        return "Nothing was held out to choose among its seeds, so the lowest is taken."
    num_equal = sum(_held_out_error(one) == _held_out_error(run) for one in runs)
    which = "the lowest of those with the fewest" if num_equal > 1 else "the one with the fewest"
    return f"Of its seeds it is {which} errors on held-out images ({held_out[0]} of {held_out[1]})."


def _what_use(run: FinishedRun) -> str:
    if run.is_baseline:
        return f"It trained on the target alone ({run.transfer})."
    if run.transfer == DIRECT:
        return (
            "It is used directly: the pretrained model as it is, the probabilities of its "
            f"{run.num_classes:,} classes summed."
        )
    return f"It is used after transfer ({run.transfer})."


def _held_out(run: FinishedRun) -> tuple[int, int] | None:
    counts = run.tested.get("held_out") or run.candidates.get(run.transfer, {}).get("held_out")
    return (counts["num_wrong"], counts["num_images"]) if counts else None


def _held_out_error(run: FinishedRun) -> float:
    """A fraction, of a run with held-out images; 0 where these are none."""
    counts = _held_out(run)
    return counts[0] / counts[1] if counts and counts[1] else 0.0
