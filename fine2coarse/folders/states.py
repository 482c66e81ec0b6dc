"""How far studies and lone phases are, and which prepared data they use; read in milliseconds."""

from __future__ import annotations

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fine2coarse.analysis.finished import read_run
from fine2coarse.analysis.results import ArmSummary, Row, summarise
from fine2coarse.analysis.study_folder import further_runs, is_finished
from fine2coarse.claims import FAILED, Seen, look
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.files import read_json
from fine2coarse.folders.disk import Measured, measure
from fine2coarse.folders.search import CLAIMS, DATASET_INFO, Found
from fine2coarse.recipes.names import BASELINE
from fine2coarse.runs.phase_folder import RECIPE, RESULT, RUNS, STATUS, TRIALS, run_name

DATA = "data.json"  # of a study: what its images are; see `datasets.data_facts`
_MADE_WITH = "made_with.json"  # of a report: the commands as typed
# What a damaged or foreign file raises where it is read.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, Fine2CoarseError)

# States of a run or a phase, as they are told.
FINISHED, RUNNING, FAILED_RUN, PARTLY, TO_DO = "finished", "running", "failed", "partly", "to do"


@dataclasses.dataclass(frozen=True)
class RunState:
    """How far a run is.

    Attributes:
      name: of the run's folder, e.g. 'fine-seed0'.
      state: 'finished', 'running', 'failed', 'partly' or 'to do'.
      note: of a running one who does it, of a failed one why.
    """

    name: str
    state: str
    note: str = ""


@dataclasses.dataclass(frozen=True)
class StudyState:
    """A study as its folder tells it.

    Attributes:
      folder: its folder.
      recipe: the card's name as it was typed; the dataset's where that is not known.
      target: label space of the task.
      runs: those that the recipe asks for, and finished ones of arms or seeds it had before.
      best: the arm of least mean error among those with a finished run, the baseline included.
      baseline: the baseline; None without a finished run of it.
      datasets: names of the prepared data that it uses.
      disk: without prepared data and exports that lie in it.
      problems: a line for what could not be read.
    """

    folder: pathlib.Path
    recipe: str
    target: str
    runs: Sequence[RunState]
    best: ArmSummary | None
    baseline: ArmSummary | None
    datasets: Sequence[str]
    disk: Measured
    problems: Sequence[str]

    def counted(self, state: str) -> int:
        """Number of runs in a state."""
        return sum(run.state == state for run in self.runs)

    @property
    def in_words(self) -> str:
        """For example `done`, or `1 running, 2 failed, 4 to do`."""
        counts = Counter(run.state for run in self.runs if run.state != FINISHED)
        states = (RUNNING, FAILED_RUN, PARTLY, TO_DO)
        told = [f"{counts[state]} {state}" for state in states if counts[state]]
        told += ["damaged"] if self.problems else []
        return ", ".join(told) or "done"


@dataclasses.dataclass(frozen=True)
class PhaseState:
    """A phase outside of a study.

    Attributes:
      folder: its folder.
      purpose: 'pretrain', 'transfer' or 'baseline'.
      labels: label space that it trains on.
      seed: of the phase; None where it is not known yet.
      state: 'finished', 'running', or how far it is, e.g. 'step 40 of 200'.
      datasets: names of the prepared data that it uses.
      disk: of the folder, without prepared data that lies in it.
    """

    folder: pathlib.Path
    purpose: str
    labels: str
    seed: int | None
    state: str
    datasets: Sequence[str]
    disk: Measured


@dataclasses.dataclass(frozen=True)
class DataState:
    """Prepared data.

    Attributes:
      folder: of its records.
      name: name, configuration and version, as in `demo/default/1.0.0`.
      num_images: in all splits; None where that is not known.
      users: studies and lone phases that use it, as far as can be told: see `users_of_data`.
      disk: of the folder.
    """

    folder: pathlib.Path
    name: str
    num_images: int | None
    users: Sequence[pathlib.Path]
    disk: Measured


def study_state(folder: pathlib.Path, without: Sequence[pathlib.Path] = ()) -> StudyState:
    """Reads a study's folder.

    Args:
      folder: with the `recipe.json` of a study.
      without: folders that are told of on their own, and so do not count as the study's.

    Raises:
      OSError: where the recipe cannot be read.
      ValueError: where it is no study's recipe.
    """
    recipe, problems = read_json(folder / RECIPE), []
    try:
        asked = [(arm, seed) for seed in recipe["seeds"] for arm in (BASELINE, *recipe["arms"])]
        target = _space_in_words(recipe["target"])
        dataset = recipe["dataset"]["name"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / RECIPE}: no recipe of a study ({_line(error)})") from error
    try:
        asked += further_runs(folder, asked)
    except _UNREADABLE as error:
        problems.append(_with_path(folder / RUNS, error))
    claims = look(folder / CLAIMS)
    runs, rows = [], []
    for arm, seed in asked:
        name = run_name(arm, seed)
        runs.append(_run_state(folder, (arm, seed), claims.get(name)))
        if runs[-1].state == FINISHED:
            try:
                rows.append(read_run(folder / RUNS / name, arm, seed).row)
            except _UNREADABLE as error:
                problems.append(
                    f"{_with_path(folder / RUNS / name, error)}; delete {folder / RUNS / name} and "
                    "the study's command does the run again"
                )
    summaries = _summaries(rows, folder, problems)
    return StudyState(
        folder=folder,
        recipe=_card(folder) or dataset,
        target=target,
        runs=runs,
        best=min(summaries, key=lambda s: (s.mean, s.arm != BASELINE), default=None),
        baseline=next((s for s in summaries if s.arm == BASELINE), None),
        datasets=datasets_of_study(folder),
        disk=measure(folder, without),
        problems=problems,
    )


def _summaries(rows: list[Row], folder: pathlib.Path, problems: list[str]) -> list[ArmSummary]:
    try:
        return summarise(rows)
    except _UNREADABLE as error:  # counts of no images, say
        problems.append(_with_path(folder / RUNS, error))
        return []


def _run_state(folder: pathlib.Path, run: tuple[str, int], claim: Seen | None) -> RunState:
    name = run_name(*run)
    if is_finished(folder, run):
        return RunState(name, FINISHED)
    if claim and claim.is_alive:
        return RunState(name, RUNNING, claim.holder)
    if claim and claim.state == FAILED:
        return RunState(name, FAILED_RUN, claim.reason)
    return RunState(name, PARTLY if (folder / RUNS / name).is_dir() else TO_DO)


def _space_in_words(spec: Mapping[str, Any]) -> str:
    """A label source: a level by its name, others with their options."""
    options = dict(spec.get("options") or {})
    if spec["source"] == "level" and "level" in options:
        return str(options["level"])
    told = ", ".join(f"{name}={value}" for name, value in options.items() if value)
    return f"{spec['source']}({told})" if told else spec["source"]


def _card(folder: pathlib.Path) -> str:
    """The recipe card's name and form, as last typed; '' where that is not known."""
    try:
        commands = read_json(folder / _MADE_WITH)["commands"]
        flags = [flag for command in commands for flag in command if flag.startswith("--config=")]
    except _UNREADABLE:
        return ""
    name, colon, form = (
        flags[-1].removeprefix("--config=").partition(":") if flags else ("", "", "")
    )
    return pathlib.PurePath(name).stem + colon + form


def datasets_of_study(folder: pathlib.Path) -> tuple[str, ...]:
    """Names of the prepared data that a study uses; empty where that is not known."""
    try:
        told = read_json(folder / DATA)["preparations"]
        return tuple(dict.fromkeys(preparation["dataset"] for preparation in told))
    except _UNREADABLE:  # of early versions, which did not note it
        return _datasets_of_phases((folder / RUNS).glob(f"*/*/{RECIPE}"))


def datasets_of_phase(folder: pathlib.Path) -> tuple[str, ...]:
    """The same of a phase outside of a study, or of its trials."""
    return _datasets_of_phases([folder / RECIPE, *sorted(folder.glob(f"{TRIALS}/*/{RECIPE}"))])


def _datasets_of_phases(recipes: Iterable[pathlib.Path]) -> tuple[str, ...]:
    """Of the first recipe that can be read: all phases of a study use the same."""
    for path in recipes:
        try:
            return tuple(read_json(path)["dataset_name"].split("+"))
        except _UNREADABLE:
            continue
    return ()


def phase_state(folder: pathlib.Path, without: Sequence[pathlib.Path] = ()) -> PhaseState:
    """Reads the folder of a phase outside of a study; arguments as of `study_state`.

    Raises:
      OSError: where its recipe cannot be read.
      ValueError: where it is no phase's recipe.
    """
    path = folder / RECIPE
    recipe = read_json(path) if path.is_file() else {"purpose": "transfer"}
    is_running = any(claim.is_alive for claim in look(folder / CLAIMS).values())
    try:
        found = PhaseState(
            folder=folder,
            purpose=recipe["purpose"],
            labels=(recipe.get("label_space") or {}).get("name", ""),
            seed=recipe.get("seed"),
            state=RUNNING if is_running else _how_far(folder),
            datasets=datasets_of_phase(folder),
            disk=measure(folder, without),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: no recipe of a phase ({_line(error)})") from error
    return found


def _how_far(folder: pathlib.Path) -> str:
    if (folder / RESULT).is_file():
        return FINISHED
    try:
        status = read_json(folder / STATUS)
        return f"step {status['step']} of {status['total_steps']}"
    except _UNREADABLE:
        return PARTLY


def data_state(folder: pathlib.Path, users: Sequence[pathlib.Path]) -> DataState:
    """Reads the folder of prepared data.

    Raises:
      OSError: where what it says of itself cannot be read.
      ValueError: where that is damaged.
    """
    info = _dataset_info(folder)
    try:
        lengths = [int(n) for split in info["splits"] for n in split["shardLengths"]]
    except _UNREADABLE:
        lengths = None
    return DataState(
        folder, data_name(info), None if lengths is None else sum(lengths), users, measure(folder)
    )


def _dataset_info(folder: pathlib.Path) -> Mapping[str, Any]:
    path = folder / DATASET_INFO
    info = read_json(path)
    if not isinstance(info, dict) or not {"name", "version"} <= set(info):
        raise ValueError(f"{path}: no name or version of a dataset in it")
    return info


def data_name(info: Mapping[str, Any]) -> str:
    """Of prepared data, as runs note it, from its `dataset_info.json`."""
    parts = (info["name"], info.get("configName"), info["version"])
    return "/".join(part for part in parts if part)


def users_of_data(
    found: Found, datasets: Mapping[pathlib.Path, Sequence[str]]
) -> dict[pathlib.Path, list[pathlib.Path]]:
    """Folder of prepared data → who uses it, as far as can be told.

    Folders do not note where their data lay, so all data of the right name counts as used; but what
    lies within a study's own folder is taken before any other.

    Args:
      found: what there is.
      datasets: study or lone phase → names of the data that it uses.
    """
    names = {}
    for folder in found.data:
        try:
            names[folder] = data_name(_dataset_info(folder))
        except _UNREADABLE:
            continue
    users: dict[pathlib.Path, list[pathlib.Path]] = {folder: [] for folder in found.data}
    for user, used in datasets.items():
        for name in used:
            same = [folder for folder, known in names.items() if known == name]
            own = [folder for folder in same if user.resolve() in folder.resolve().parents]
            for folder in own or same:
                users[folder].append(user)
    return users


def _with_path(path: pathlib.Path, error: BaseException) -> str:
    """An error in a line, with the path that it is of, if it does not name it itself."""
    told = _line(error)
    return told if str(path) in told else f"{path}: {told}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
