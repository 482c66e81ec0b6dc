"""What of a study or a lone run may be deleted without losing a result, and its deletion.

Deleted are files that nothing reads any more: checkpoints of finished phases, weights of trials
once their run is finished, and what killed processes left. A run that a living process works on is
left alone, whatever is in it. Results, predictions, metrics, the weights of the phases that count
and the report stay, so the report can be remade and every model that counts can be used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator, Sequence

from fine2coarse import formats, terminal
from fine2coarse.claims import look
from fine2coarse.errors import UsageError
from fine2coarse.files import is_partial
from fine2coarse.folders.disk import files_below, freed_bytes, measure
from fine2coarse.folders.search import CLAIMS, find_folders
from fine2coarse.folders.states import datasets_of_phase, datasets_of_study, users_of_data
from fine2coarse.runs.phase_folder import (
    BRANCH_WEIGHTS,
    CHECKPOINTS,
    RECIPE,
    RESULT,
    RUNS,
    TRIALS,
    last_phase,
)
from fine2coarse.runs.run_folders import Kind, kind_of, what_was_expected

OLD_CHECKPOINTS = "checkpoints of finished phases"
TRIAL_WEIGHTS = "weights of trials in finished runs"
BRANCHES = "weights that trials branched off from"
LEFTOVERS = "files that killed processes left"
PREPARED = "prepared data"
_KINDS = (OLD_CHECKPOINTS, TRIAL_WEIGHTS, BRANCHES, LEFTOVERS, PREPARED)
# A holder on another machine is taken for dead after this long: the longest timeout in use.
_DEAD_AFTER_S = 3600.0
# In folders that no claim protects, what is younger may be in the making.
_LEFT_AFTER_S = 600.0
_RUN_NAME = re.compile(r"(.+)-seed\d+")
_CHECKPOINT = re.compile(r"step-\d+\.npz|best\.npz|best\.json|.+\.npz\.tmp")
_WEIGHTS_SUFFIX = ".weights.h5"
_OWN_OF_DATA = {CLAIMS, ".config"}  # what preparing leaves beside the data

_File = tuple[pathlib.Path, os.stat_result]


@dataclasses.dataclass(frozen=True)
class UsedData:
    """Prepared data that the cleaned study or run uses.

    Attributes:
      folder: of the records.
      num_bytes: that it takes.
      others: studies and lone runs that use it too, or may: see `states.users_of_data`.
      is_own: whether it lies in `data/` of the cleaned folder.
    """

    folder: pathlib.Path
    num_bytes: int
    others: Sequence[pathlib.Path]
    is_own: bool

    @property
    def in_words(self) -> str:
        """A line on it, with what may be done."""
        told = f"prepared data {self.folder} ({formats.disk_size(self.num_bytes)})"
        if self.others:
            return f"{told} is shared with {', '.join(map(str, self.others))}: it stays"
        if self.is_own:
            return f"{told} is used by nothing else that was found: --data deletes it too"
        return f"{told} lies outside of this folder: it stays"


@dataclasses.dataclass(frozen=True)
class CleaningPlan:
    """What may be deleted.

    Attributes:
      folder: of the study or the lone run.
      files: kind of file → the files with their states.
      held: run → who works on it; these are left alone.
      num_finished: finished runs.
      num_runs: runs that were begun.
      data: prepared data that is used, as far as it was looked for.
    """

    folder: pathlib.Path
    files: dict[str, list[_File]]
    held: dict[str, str]
    num_finished: int
    num_runs: int
    data: Sequence[UsedData]

    @property
    def num_files(self) -> int:
        """To delete."""
        return sum(map(len, self.files.values()))

    @property
    def num_bytes(self) -> int:
        """That deleting them frees."""
        return freed_bytes([file for files in self.files.values() for file in files])

    def describe(self) -> str:
        """For people to read: what goes, how much that frees, and what stays and why."""
        begun = formats.counted(self.num_runs, "run")
        lines = [f"{self.folder}: {begun} begun, {self.num_finished} finished"]
        rows = [
            [kind, f"{len(files):,}", formats.disk_size(freed_bytes(files))]
            for kind, files in self.files.items()
            if files
        ]
        if rows:
            rows.append(["together", f"{self.num_files:,}", formats.disk_size(self.num_bytes)])
            lines += ["", terminal.table(["what", "files", "frees"], rows), ""]
        lines += [
            f"left alone: {run}, which {holder} works on" for run, holder in self.held.items()
        ]
        if not self.files.get(PREPARED):
            lines += [used.in_words for used in self.data]
        return "\n".join(lines)


def plan_cleaning(
    folder: pathlib.Path, *, root: pathlib.Path | None = None, with_data: bool = False
) -> CleaningPlan:
    """Finds what may be deleted; nothing is.

    Args:
      folder: of a study, or of a phase outside of one.
      root: where to look for others that use the same prepared data; the folder above where None.
      with_data: whether prepared data in the folder's own `data/` shall go too.

    Raises:
      UsageError: where the folder is neither, or its data cannot go: others use it, or a process
        works here.
    """
    kind = kind_of(folder)
    _refuse_parts(folder)
    if kind is Kind.STUDY:
        runs = sorted(path for path in (folder / RUNS).glob("*-seed*") if path.is_dir())
    elif kind is Kind.PHASE or (folder / TRIALS).is_dir():
        runs = [folder]
    else:
        raise UsageError(what_was_expected(folder))
    # Files first and claims after them: whoever begins in between has files of other names.
    of_runs = {run: list(files_below(run, _apart(run, folder))) for run in runs}
    beside = [] if runs == [folder] else list(files_below(folder, _apart(folder, folder, RUNS)))
    claims = look(folder / CLAIMS, _DEAD_AFTER_S)
    held = {name: claim.holder for name, claim in claims.items() if claim.is_alive}
    files: dict[str, list[_File]] = {name: [] for name in _KINDS}
    for run, of_run in of_runs.items():
        if run.name in held or (run == folder and held):
            continue
        for path, found in of_run:
            what = _what(run, path.relative_to(run), _is_finished(run, folder))
            if what:
                files[what].append((path, found))
    if not held:
        files[LEFTOVERS] += [
            (path, found)
            for path, found in beside
            if is_partial(path.name) and time.time() - found.st_mtime > _LEFT_AFTER_S
        ]
    data = _used_data(folder, kind, root)
    if with_data:
        files[PREPARED] = _data_to_delete(folder, data, held)
    return CleaningPlan(
        folder=folder,
        files=files,
        held=held,
        num_finished=sum(_is_finished(run, folder) for run in runs),
        num_runs=len(runs),
        data=data,
    )


def _refuse_parts(folder: pathlib.Path) -> None:
    """Raises UsageError for a run of a study, or a trial: the claims on it lie further up."""
    for above in list(folder.resolve().parents)[:4]:
        whole = above.parent
        if above.name in (RUNS, TRIALS) and any(
            (whole / name).exists() for name in (RECIPE, CLAIMS)
        ):
            raise UsageError(f"{folder} is a part of {whole}; give --workdir={whole}")


def _apart(run: pathlib.Path, folder: pathlib.Path, *more: str) -> list[pathlib.Path]:
    """Folders within that are no part of a run: claims of living processes, prepared data."""
    return [run / name for name in (CLAIMS, "data", *more)] if run == folder else []


def _is_finished(run: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether the phase that counts has its result."""
    if run == folder:
        return (run / RESULT).is_file()
    match = _RUN_NAME.fullmatch(run.name)
    return match is not None and (run / last_phase(match[1]) / RESULT).is_file()


def _what(run: pathlib.Path, file: pathlib.Path, is_finished: bool) -> str:
    """Which kind of deletable file one is; '' for what stays.

    Args:
      run: folder of the run, or of a lone phase.
      file: relative to it.
      is_finished: whether the run is.
    """
    if any(is_partial(part) for part in file.parts):
        return LEFTOVERS
    if file.parent.name == CHECKPOINTS and _CHECKPOINT.fullmatch(file.name):
        phase = run / file.parent.parent
        return OLD_CHECKPOINTS if is_finished or (phase / RESULT).is_file() else ""
    if not is_finished:
        return ""
    if file.name == BRANCH_WEIGHTS:
        return BRANCHES
    is_trial = file.parts[0] == TRIALS and file.name.endswith(_WEIGHTS_SUFFIX)
    return TRIAL_WEIGHTS if is_trial else ""


def _used_data(folder: pathlib.Path, kind: Kind, root: pathlib.Path | None) -> list[UsedData]:
    """Prepared data that a study or lone run uses, with who uses it besides."""
    above = folder.parent if folder.name and folder.name != ".." else folder / ".."
    found = find_folders([above if root is None else root, folder])
    datasets = {study: datasets_of_study(study) for study in found.studies}
    datasets |= {phase: datasets_of_phase(phase) for phase in found.phases}
    own = folder.resolve()
    used = []
    for data, users in users_of_data(found, datasets).items():
        is_own = own / "data" in data.resolve().parents
        if is_own or own in [user.resolve() for user in users]:
            others = [user for user in users if user.resolve() != own]
            used.append(UsedData(data, measure(data).num_bytes, others, is_own))
    return used


def _data_to_delete(
    folder: pathlib.Path, data: Sequence[UsedData], held: dict[str, str]
) -> list[_File]:
    own = [used for used in data if used.is_own]
    if not own:
        elsewhere = "; ".join(used.in_words for used in data)
        raise UsageError(
            f"--data: no prepared data in {folder / 'data'}; leave --data out"
            + (f" ({elsewhere})" if elsewhere else "")
        )
    preparing = look(folder / "data" / CLAIMS, _DEAD_AFTER_S)
    busy = {**held, **{name: seen.holder for name, seen in preparing.items() if seen.is_alive}}
    if busy:
        name, holder = next(iter(busy.items()))
        raise UsageError(
            f"--data: {holder} works on {name} and may read the data; wait for it or stop it, or "
            "leave --data out"
        )
    for used in own:
        if used.others:
            raise UsageError(
                f"--data: {used.in_words}. To delete it, delete those first or move them out of "
                "reach (--root says where others are looked for)"
            )
    return [file for used in own for file in files_below(used.folder)]


def clean(plan: CleaningPlan) -> None:
    """Deletes what a plan names, and folders that are empty then.

    Raises:
      OSError: where something cannot be deleted; what was deleted by then is gone.
    """
    for files in plan.files.values():
        for path, _ in files:
            path.unlink(missing_ok=True)
    for path, _ in (file for files in plan.files.values() for file in files):
        for parent in _emptied(path, plan.folder):
            with contextlib.suppress(OSError):  # it holds something else
                parent.rmdir()
    data = plan.folder / "data"
    if plan.files.get(PREPARED) and _holds_nothing_else(data):
        shutil.rmtree(data)


def _emptied(path: pathlib.Path, folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Folders that go with their last file: of checkpoints, half-made ones, of prepared data."""
    for parent in path.parents:
        within = parent.relative_to(folder).parts if folder in parent.parents else ()
        is_data = within[:1] == ("data",)
        if not within or not (is_data or is_partial(parent.name) or parent.name == CHECKPOINTS):
            return
        yield parent


def _holds_nothing_else(data: pathlib.Path) -> bool:
    return all(
        set(path.relative_to(data).parts[:-1]) & _OWN_OF_DATA for path, _ in files_below(data)
    )
