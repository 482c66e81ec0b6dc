"""What a notebook or a script calls: a recipe by name, a whole study, its result as plain records.

    import fine2coarse

    result = fine2coarse.run_study("demo:smoke", "runs/smoke")
    pandas.DataFrame(result.table)

The command `fine2coarse study` calls the same functions. Importing this is light: TensorFlow, or
JAX where the variable KERAS_BACKEND says so before Keras is imported, is imported by the first
study.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse.cards import load_card
from fine2coarse.claims import DEFAULT_TIMEOUT_S
from fine2coarse.errors import Preempted, UsageError
from fine2coarse.nearest import unknown

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import tensorflow as tf
    from ml_collections import ConfigDict

    from fine2coarse.analysis.comparison import ArmComparison
    from fine2coarse.analysis.results import Row
    from fine2coarse.analysis.winner import Winner
    from fine2coarse.prediction.loaded_model import LoadedModel
    from fine2coarse.recipes.backbone_list import BackboneFacts
    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run
    from fine2coarse.studies.study import Study
    from fine2coarse.training.engine import Engine

_LOGGER = logging.getLogger(__name__)

INSTEAD_OF_WORKERS = (
    "a study spreads whole runs, not single ones, over hosts. Start one process a host with the "
    "same --workdir and --strategy=one_device or mirrored (without TF_CONFIG). To train one run on "
    "several hosts use the commands pretrain and transfer"
)
"""What to do where TF_CONFIG would make a study's process one of several workers."""

_ONE_MACHINE = (
    "runs in a remote --workdir are claimed among the processes of one machine only; give each "
    "machine its own --shard=i/n"
)


@dataclasses.dataclass(frozen=True, eq=False)
class StudyResult:
    """What a study found, as far as its runs are finished. `print` shows it as the command does.

    Attributes:
      workdir: the study's folder.
      table: a record an arm, the baseline first, then by number of classes; a `pandas.DataFrame`
        takes it as it is. `error`, `deviation` (over seeds), `direct_error` (of the pretrained
        model as it is) and `change` (relative, against the baseline) are fractions, `change_low`
        and `change_high` the ends of its 95% interval; what is not known is None. `verdict` is
        'lower', 'higher', 'unclear' or 'too few seeds'.
      runs: a record a finished run: the columns of `results.csv`, its `error` and its `folder`.
      summary: what the runs say, in sentences; empty while none is finished.
      report: path of `report.html`, an address where the folder has one; None where it is not
        written.
      num_planned: runs of the whole study; finished ones that its recipe asks for no more count.
      text: the table for a terminal.
      partial: how many runs are finished and which are not; '' where all are.
      best: the run whose model is best, why, and how certain that is; None where no run is
        finished.
    """

    workdir: pathlib.Path
    table: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    summary: str
    report: pathlib.Path | str | None
    num_planned: int
    text: str
    partial: str = ""
    best: Winner | None = None

    @property
    def is_finished(self) -> bool:
        """Whether all of the study's runs are."""
        return len(self.runs) == self.num_planned

    def to_pandas(self, which: str = "arms") -> pandas.DataFrame:
        """`table` or `runs` as a `pandas.DataFrame`, a row a record.

        Args:
          which: 'arms' for `table`, 'runs' for `runs`.

        Raises:
          UsageError: where pandas is not installed, or on another `which`.
        """
        records = {"arms": self.table, "runs": self.runs}
        if which not in records:
            raise UsageError(unknown("table", which, records))
        try:
            import pandas
        except ImportError as error:
            raise UsageError(
                "to_pandas needs pandas, which is not installed: pip install pandas"
            ) from error
        return pandas.DataFrame(records[which])

    def predictions(
        self, arm: str | None = None, seed: int | None = None, use: str = "transferred"
    ) -> dict[str, np.ndarray]:
        """What each run's model predicts for each test image; `pandas.DataFrame` takes it as it is.

        Read from the study's folder, the runs that are asked for alone.

        Args:
          arm: of these runs alone, or 'baseline'; None for all.
          seed: of these runs alone; None for all.
          use: 'transferred' for the models after the transfer, 'direct' for the pretrained ones as
            they are; arms without a direct use, as the baseline, are then left out.

        Returns:
          Column → array [finished runs × images]: `arm`, `image_id`, `target` and `predicted`
          (class names) are objects (str), `seed` int64, `margin` float32 (the right class's score
          minus the largest other one), `wrong` bool.

        Raises:
          UsageError: on an arm, seed or use that there is none of, where an early version kept no
            predictions, or where the folder is gone.
        """
        from fine2coarse.analysis.image_columns import image_columns
        from fine2coarse.analysis.study_folder import read_study

        if not self.workdir.is_dir():
            raise UsageError(
                f"{self.workdir}: no such folder; predictions are read from the study's folder. "
                "Copy a study that lies elsewhere to this machine, then read_result(FOLDER)"
            )
        return image_columns(read_study(self.workdir).runs, arm=arm, seed=seed, use=use)

    def __str__(self) -> str:
        """Table, summary, the best run with the commands that use it, where the report is."""
        if not self.runs:
            return f"0 of {self.num_planned} runs are finished"
        told = [self.partial, self.text, self.summary]
        told += [self.best.told(self.workdir)] if self.best else []
        told += [f"report: {self.report}"] if self.report else []
        return "\n\n".join(filter(None, told))


def list_backbones() -> list[BackboneFacts]:
    """The backbones that a recipe can name: parameters, FLOPs, sizes, source.

    No model is built; `pandas.DataFrame` takes the list as it is.
    """
    from fine2coarse.recipes import backbone_list

    return backbone_list.list_backbones()


def load_config(card: str, overrides: Mapping[str, Any] | None = None, **fields: Any) -> ConfigDict:
    """A recipe card's content, with some fields set.

    Args:
      card: name or path, perhaps with an argument, as in 'demo', 'demo:smoke' or 'mine.py'.
      overrides: dotted name of a field → value, as in {"pretrain.total_steps": 20}; the card need
        not have the field.
      **fields: fields at the top, as in `seeds=(0, 1)`.

    Raises:
      RecipeError: where there is no such card or field, or a value is of another type.
    """
    config = load_card(card)
    given = {**(overrides or {}), **fields}
    if given:
        from fine2coarse.recipes.card import set_field
    for name, value in given.items():
        set_field(config, name.split("."), value)
    return config.lock()


def run_study(
    recipe: Recipe | ConfigDict | Mapping[str, Any] | str,
    workdir: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    packed: str | os.PathLike | None = None,
    strategy: str | tf.distribute.Strategy | Engine = "auto",
    arms: Sequence[str] = (),
    seeds: Sequence[int] = (),
    shard: tuple[int, int] = (0, 1),
    wait: bool = True,
    report: bool = True,
    claim_timeout_s: float = DEFAULT_TIMEOUT_S,
    command: Sequence[str] = (),
) -> StudyResult:
    """Does a study's runs, or goes on with them: pretraining and transfer of each arm and seed.

    Any number of processes may work on one folder; each run is done once. Nothing is written to
    the folder before recipe, data and label spaces are found valid.

    Args:
      recipe: parsed or not, or the name or path of a card.
      workdir: the study's folder, or an address such as gs://bucket/folder.
      data_dir: folder of prepared data; default: the variable TFDS_DATA_DIR, or `data` in
        `workdir`.
      packed: folder of a pack (`fine2coarse pack`) to read in place of the datasets; None for them.
      strategy: how training spreads over devices: 'auto', 'one_device', 'mirrored' or 'tpu', or a
        strategy of TensorFlow or an engine (`training.engine.make_engine`) made before.
      arms: only these arms, or 'baseline'; all where empty.
      seeds: only these seeds; all where empty.
      shard: (i, n): only the i-th of n shares of these runs.
      wait: for runs that other processes do, to take over those of the dead.
      report: write the report, marked as partial where runs of the study are not finished.
      claim_timeout_s: seconds without a sign of life after which a run is taken over.
      command: program and arguments that the report shall name as what made the study.

    Returns:
      What was found, whoever did the runs.

    Raises:
      UsageError: where recipe, data or folder must change first.
      StudyError: where runs failed; the others are finished.
      Preempted: on SIGTERM; what was trained is saved, and the same call goes on.
    """
    parsed, address = parse_recipe(recipe), named_folder(workdir)
    from fine2coarse.backend_start import start_backend

    start_backend()
    from fine2coarse.paths import is_remote
    from fine2coarse.studies.run_plan import plan_runs, select_runs

    made = named_engine(strategy)
    runs = select_runs(plan_runs(parsed), arms, seeds, shard)
    if is_remote(address) and shard == (0, 1):
        _LOGGER.info("note: %s", _ONE_MACHINE)
    return do_runs(
        parsed,
        address,
        runs,
        data_dir=data_folder(data_dir, address),
        packed=packed and os.fspath(packed),
        engine=made,
        wait=wait,
        report=report,
        claim_timeout_s=claim_timeout_s,
        command=command,
    )


def do_runs(
    recipe: Recipe,
    address: str,
    runs: Sequence[Run],
    *,
    data_dir: str,
    engine: Engine,
    packed: str | None = None,
    wait: bool = True,
    report: bool = True,
    claim_timeout_s: float = DEFAULT_TIMEOUT_S,
    command: Sequence[str] = (),
) -> StudyResult:
    """Does some of a study's runs; the backend was started before. See `run_study`."""
    from fine2coarse.report.provenance import record_command
    from fine2coarse.studies.mirror import open_workdir
    from fine2coarse.studies.open_study import open_study
    from fine2coarse.studies.study import Study, StudyError

    with open_workdir(address) as (folder, mirror):
        with _removed_again(folder):
            study = Study(recipe, folder, claim_timeout_s, mirror)
            data = open_study(recipe, data_dir, runs, packed=packed, devices=engine)
        if command:
            record_command(folder, command[0], command[1:])
        data_dirs = [*([pathlib.Path(packed)] if packed else []), pathlib.Path(data_dir)]
        try:
            study.run(data, engine, runs=runs, wait=wait)
        except StudyError:
            if report:
                told = with_addresses(address, conclude(study, data_dirs=data_dirs, report=True))
                _LOGGER.info("%s", told)
            raise
        except (Preempted, KeyboardInterrupt):
            _tell_what_is_finished(study, address)
            raise
        return with_addresses(address, conclude(study, data_dirs=data_dirs, report=report))


@contextlib.contextmanager
def _removed_again(folder: pathlib.Path) -> Iterator[None]:
    """Removes a folder that the body made and left empty, where it raises."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):  # something lies in it
                folder.rmdir()
        raise


def data_folder(given: str | os.PathLike | None, address: str) -> str:
    """Where prepared data lies: as given, TFDS_DATA_DIR, or `data` in a study's folder."""
    return os.fspath(given or os.environ.get("TFDS_DATA_DIR") or f"{address.rstrip('/')}/data")


def with_addresses(address: str, result: StudyResult) -> StudyResult:
    """The result of a study on another file system, with addresses there for its local copies.

    Args:
      address: of the study's folder; the result of a local one stays as it is.
      result: that was read from a copy.
    """
    from fine2coarse.paths import is_remote

    if not is_remote(address):
        return result
    address = address.rstrip("/")
    report, best = result.report, result.best
    return dataclasses.replace(
        result,
        report=report and f"{address}/{report.name}",
        best=best and best.moved(result.workdir, address),
    )


def named_engine(given: str | tf.distribute.Strategy | Engine) -> Engine:
    """An engine by the name of its strategy, or the one that was given."""
    from fine2coarse.training.cluster_task import is_multi_worker
    from fine2coarse.training.engine import as_engine, make_engine

    if not isinstance(given, str):
        return as_engine(given)
    if is_multi_worker(given):
        raise UsageError(f"TF_CONFIG makes this process one of several: {INSTEAD_OF_WORKERS}")
    return make_engine(given)


def load(run: str | os.PathLike) -> LoadedModel:
    """A trained model that classifies photographs: `load(run).predict("photo.jpg")`.

    Args:
      run: folder of a study (its winner is taken), of a run (its last phase), of a phase, or of an
        export; what was taken is logged.

    Raises:
      UsageError: where it is none of these, or not finished.
    """
    from fine2coarse.analysis.find_run import find_run

    found = find_run(run)
    if found.note:
        _LOGGER.info("%s", found.note)
    from fine2coarse.backend_start import start_backend

    start_backend()
    from fine2coarse.prediction.loaded_model import LoadedModel

    return LoadedModel(found.path, is_export=found.is_export)


def named_folder(workdir: str | os.PathLike) -> str:
    """A study's folder or address as text.

    Raises:
      UsageError: where it is empty, which would be the current folder.
    """
    address = os.fspath(workdir)
    if not address.strip():
        raise UsageError("workdir is empty; name a folder for the study, such as runs/mine")
    return address


def parse_recipe(recipe: Recipe | ConfigDict | Mapping[str, Any] | str) -> Recipe:
    """A recipe from a card's name or content; one that is parsed already stays as it is.

    Raises:
      RecipeError: naming the key at fault.
    """
    from fine2coarse.recipes.recipe import Recipe

    if isinstance(recipe, Recipe):
        return recipe
    return Recipe.from_config(load_config(recipe) if isinstance(recipe, str) else recipe)


def read_result(workdir: str | os.PathLike) -> StudyResult:
    """What a study's finished runs say, from its folder alone.

    Args:
      workdir: the study's folder, on this machine.

    Raises:
      UsageError: where it holds no study, or none of its runs is finished.
    """
    from fine2coarse import terminal
    from fine2coarse.analysis import results
    from fine2coarse.analysis.sentences import summary
    from fine2coarse.analysis.statistics import compare
    from fine2coarse.analysis.study_folder import read_study
    from fine2coarse.analysis.winner import find_winner
    from fine2coarse.report import PAGE
    from fine2coarse.runs.phase_folder import RunError

    study = read_study(pathlib.Path(workdir))
    rows = [run.row for run in study.runs]
    compared, words = [], ""
    try:
        compared = compare(study.runs)
        words = summary(compared, study.recipe)
    except RunError as error:
        words = f"no intervals: {error}"
    page = study.workdir / PAGE
    return StudyResult(
        workdir=study.workdir,
        table=_records(rows, compared),
        runs=[
            {**dataclasses.asdict(row), "error": row.error(), "folder": str(run.folder)}
            for run, row in zip(study.runs, rows, strict=True)
        ],
        summary=words,
        report=page if page.is_file() else None,
        num_planned=study.num_planned,
        text=terminal.table(*results.table(rows)),
        partial=study.partial_note,
        best=find_winner(study, compared),
    )


def conclude(study: Study, *, data_dirs: Sequence[pathlib.Path], report: bool) -> StudyResult:
    """The result of a study whose runs were just done; the report is of those that are finished.

    Args:
      study: which this process has open.
      data_dirs: where prepared data or a pack may lie, for the report's pictures.
      report: False to write none.
    """
    if not study.rows():
        return StudyResult(study.workdir, [], [], "", None, len(study.runs), "")
    if report:
        _write_report(study, data_dirs)
    return read_result(study.workdir)


def _tell_what_is_finished(study: Study, address: str) -> None:
    """How to see the finished runs of a study that is stopped."""
    from fine2coarse.paths import is_remote

    if study.rows():
        finished = sum(map(study.is_finished, study.runs))
        told = "note: %d of %d runs are finished; fine2coarse report --workdir=%s shows them"
        place = f"COPY of {address} on this machine" if is_remote(address) else address
        _LOGGER.info(told, finished, len(study.runs), place)


def _records(rows: Sequence[Row], compared: Sequence[ArmComparison]) -> list[dict[str, Any]]:
    """A record an arm, of plain values."""
    from fine2coarse.analysis.results import chosen_transfers, summarise

    direct = {summary.arm: summary.mean for summary in summarise(rows, "direct")}
    transfers = chosen_transfers(rows)
    against = {comparison.arm: comparison.transferred for comparison in compared}
    records = []
    for summary in summarise(rows):
        found = against.get(summary.arm)
        change = found.relative_change if found else None
        records.append(
            {
                "arm": summary.arm,
                "classes": summary.num_classes,
                "seeds": summary.num_seeds,
                "error": summary.mean,
                "deviation": summary.deviation,
                "direct_error": direct.get(summary.arm),
                "change": summary.relative_change,
                "change_low": _known(change.low) if change else None,
                "change_high": _known(change.high) if change else None,
                "p_value": _known(found.adjusted_p_value) if found else None,
                "verdict": (found.verdict or None) if found else None,
                "transfer": transfers[summary.arm] or None,
            }
        )
    return records


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _write_report(study: Study, data_dirs: Sequence[pathlib.Path]) -> None:
    """Writes the report; where another process does, waits and writes what is new meanwhile."""
    from fine2coarse.report import write_report
    from fine2coarse.report.claim import report_claim
    from fine2coarse.studies.tested_images import image_reader

    with report_claim(study.claims, lambda: all(map(study.is_finished, study.runs))) as is_mine:
        if is_mine:
            write_report(study.workdir, read_images=image_reader([study.workdir], data_dirs))
            study.publish()
