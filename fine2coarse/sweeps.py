"""A sweep from Python: a recipe with some fields at several values, a study for each combination.

    over = {"pretrain.optimizer.learning_rate": [0.05, 0.1, 0.2]}
    print(fine2coarse.run_sweep("demo", "runs/rates", over))

The command `fine2coarse study --sweep=…` calls the same functions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fine2coarse.api import (
    StudyResult,
    data_folder,
    do_runs,
    named_engine,
    named_folder,
    parse_recipe,
    read_result,
)
from fine2coarse.claims import DEFAULT_TIMEOUT_S
from fine2coarse.errors import FailedError, UsageError

if TYPE_CHECKING:
    import tensorflow as tf
    from ml_collections import ConfigDict

    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run
    from fine2coarse.studies.sweep import Cell
    from fine2coarse.training.engine import Engine

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep found, as far as its runs are finished. `print` shows it as the command does.

    Attributes:
      workdir: the sweep's folder; each cell is a study in a folder below it.
      cells: name → result of every cell of which a run is finished.
      table: a record a cell of these: `cell`, a key for each swept field, `finished` and `planned`
        runs, the baseline's `baseline_error`, and of the best arm in its better use `arm`, `use`
        and `error`; errors are fractions, what is not known is None.
      summary: which cell's best arm has the lowest error, and how sure that is.
      report: path of the page that shows the cells side by side; None where it is not written.
      text: the table for a terminal.
      num_cells: of the grid.
    """

    workdir: pathlib.Path
    cells: Mapping[str, StudyResult]
    table: Sequence[Mapping[str, Any]]
    summary: str
    report: pathlib.Path | None
    text: str
    num_cells: int

    @property
    def is_finished(self) -> bool:
        """Whether all runs of all cells are."""
        whole = [result for result in self.cells.values() if result.is_finished]
        return len(whole) == self.num_cells

    def __str__(self) -> str:
        """What is missing, a line a cell, the answer, and where the page is."""
        if not self.table:
            return f"no run of the {self.num_cells} cells is finished"
        whole = sum(result.is_finished for result in self.cells.values())
        partial = f"partial: all runs of {whole} of {self.num_cells} cells are finished"
        told = ["" if self.is_finished else partial, self.text, self.summary]
        told += [f"report: {self.report}"] if self.report else []
        return "\n\n".join(filter(None, told))


def run_sweep(
    recipe: Recipe | ConfigDict | Mapping[str, Any] | str,
    workdir: str | os.PathLike,
    over: Mapping[str, Sequence[Any]],
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
) -> SweepResult:
    """Does a study for each combination of some fields' values, then shows them side by side.

    Each cell is an ordinary study in `workdir`/NAME, such as `learning_rate=0.05`; all share one
    folder of prepared data. Nothing is written before every cell's recipe and folder are found
    valid. A cell that fails does not stop the others, and the same call goes on where it stopped.

    Args:
      recipe: parsed or not, or the name or path of a card.
      workdir: the sweep's folder, on this machine.
      over: dotted name of a field → its values, as in {"pretrain.total_steps": [100, 200]}.
      data_dir: folder of prepared data; default: the variable TFDS_DATA_DIR, or `data` in
        `workdir`.
      packed: folder of a pack (`fine2coarse pack`) to read in place of the datasets; None for them.
      strategy: as in `run_study`.
      arms: only these arms of each cell, or 'baseline'; all where empty.
      seeds: only these seeds; all where empty.
      shard: (i, n): only the i-th of n shares of all cells' runs.
      wait: for runs that other processes do, to take over those of the dead.
      report: write each cell's report, and the page of all.
      claim_timeout_s: seconds without a sign of life after which a run is taken over.
      command: program and arguments that a cell's report shall name as what made it.

    Returns:
      What was found, whoever did the runs.

    Raises:
      UsageError: where recipe, values, data or folder must change first.
      SweepError: where cells failed; the others are done.
      Preempted: on SIGTERM; what was trained is saved, and the same call goes on.
    """
    parsed = parse_recipe(recipe)
    from fine2coarse.studies.sweep import check_cells, note_cells, plan_sweep, share_of_cells

    cells = plan_sweep(parsed, over)
    runs = share_of_cells(cells, arms, seeds, shard)
    folder = local_folder(named_folder(workdir))
    from fine2coarse.backend_start import start_backend

    start_backend()
    made = named_engine(strategy)
    check_cells(cells, folder)
    note_cells(folder, cells)

    def do(cell: Cell, wait: bool) -> None:
        do_runs(
            cell.recipe,
            str(folder / cell.name),
            runs[cell.name],
            data_dir=data_folder(data_dir, os.fspath(workdir)),
            packed=packed and os.fspath(packed),
            engine=made,
            wait=wait,
            report=report,
            claim_timeout_s=claim_timeout_s,
            command=[*command, *cell.flags] if command else (),
        )

    failures = _work_through(cells, runs, folder, do, wait)
    result = conclude_sweep(folder, cells, report=report)
    if failures:
        _raise(failures, result)
    return result


def _work_through(
    cells: Sequence[Cell],
    runs: Mapping[str, Sequence[Run]],
    folder: pathlib.Path,
    do: Any,
    wait: bool,
) -> dict[str, Exception]:
    """Does the cells one after another; then, where asked to, waits for what others do of them."""
    from fine2coarse.studies.sweep import are_finished

    failures: dict[str, Exception] = {}
    for is_waiting in (False, True) if wait else (False,):
        for number, cell in enumerate(cells, 1):
            mine = runs[cell.name]
            is_left = not is_waiting or not are_finished(folder / cell.name, mine)
            if not mine or cell.name in failures or not is_left:
                continue
            _LOGGER.info("cell %d/%d %s", number, len(cells), cell.name)
            try:
                do(cell, is_waiting)
            except (FailedError, UsageError) as error:
                failures[cell.name] = error
                _LOGGER.info("cell %s failed: %s", cell.name, error)
    return failures


def _raise(failures: Mapping[str, Exception], result: SweepResult) -> None:
    """Ends a sweep of which cells failed: as they did where all did for the same reason."""
    from fine2coarse.studies.sweep import SweepError

    first = next(iter(failures.values()))
    if len(failures) == result.num_cells and not result.cells and isinstance(first, UsageError):
        raise first
    if result.cells:
        _LOGGER.info("%s", result)
    told = "; ".join(f"{name}: {error}" for name, error in failures.items())
    raise SweepError(
        f"{len(failures)} of {result.num_cells} cells failed, the others did not: {told}"
    ) from first


def local_folder(workdir: str | os.PathLike) -> pathlib.Path:
    """The folder of a sweep.

    Raises:
      UsageError: where it is an address.
    """
    address = os.fspath(workdir)
    if "://" in address:
        raise UsageError(
            f"a sweep works in local folders, got {address}; `fine2coarse study --sweep=… --list` "
            "with a local --workdir prints a command for each run, which may have its own address"
        )
    return pathlib.Path(address)


def conclude_sweep(folder: pathlib.Path, cells: Sequence[Cell], *, report: bool) -> SweepResult:
    """The result of a sweep whose runs were just done.

    Cells that an earlier call began in the folder are shown too.

    Args:
      folder: of the sweep.
      cells: of the grid.
      report: False to write no page.
    """
    from fine2coarse.analysis.study_folder import MergeError
    from fine2coarse.studies.sweep import noted_cells

    noted = noted_cells(folder)
    results: dict[str, StudyResult] = {}
    for cell in noted:
        with contextlib.suppress(MergeError):  # none of its runs is finished
            results[cell["name"]] = read_result(folder / cell["name"])
    values = {cell["name"]: cell["values"] for cell in noted if cell["name"] in results}
    table = [_record(name, values[name], result) for name, result in results.items()]
    page, summary = None, ""
    if len(results) > 1:
        page, summary = _side_by_side(folder, results, len(noted), report)
    elif results:
        summary = next(iter(results.values())).summary
    return SweepResult(
        workdir=folder,
        cells=results,
        table=table,
        summary=summary,
        report=page,
        text=_text(table),
        num_cells=len(noted),
    )


def _side_by_side(
    folder: pathlib.Path, results: Mapping[str, StudyResult], num_cells: int, report: bool
) -> tuple[pathlib.Path | None, str]:
    """Writes the page unless another process just did; its path, and what it says first."""
    from fine2coarse.analysis.side_by_side import side_by_side
    from fine2coarse.analysis.side_by_side_words import headline
    from fine2coarse.analysis.study_folder import read_study
    from fine2coarse.claims import Claims
    from fine2coarse.report import PAGE, write_side_by_side
    from fine2coarse.report.claim import report_claim

    places = [folder / name for name in results]
    page = folder / PAGE
    if report:
        finished = [result.is_finished for result in results.values()]
        is_whole = len(finished) == num_cells and all(finished)
        with report_claim(Claims(folder / "claims"), lambda: is_whole) as is_mine:
            if is_mine:
                found = write_side_by_side(places, folder).found
                return page, headline(found)
    found = side_by_side([read_study(place) for place in places])
    return (page if page.is_file() else None), headline(found)


def _record(name: str, values: Mapping[str, Any], result: StudyResult) -> dict[str, Any]:
    errors = {record["arm"]: record for record in result.table}
    record: dict[str, Any] = {"cell": name, **values}
    record |= {"finished": len(result.runs), "planned": result.num_planned}
    baseline = errors.get("baseline")
    record["baseline_error"] = baseline and baseline["error"]
    return record | _best(result)


def _best(result: StudyResult) -> dict[str, Any]:
    """The arm of least error in its better use; nothing where no arm is finished.

    Where every run of an arm took its direct use as the transfer, it has one use, as on the page.
    """
    uses = [
        (error, record["arm"], use)
        for record in result.table
        if record["arm"] != "baseline"
        for use, error in (("transferred", record["error"]), ("direct", record["direct_error"]))
        if error is not None and not (use == "transferred" and record["transfer"] == "direct")
    ]
    error, arm, use = min(uses, key=lambda found: found[0], default=(None, None, None))
    return {"arm": arm, "use": use, "error": error}


def _text(table: Sequence[Mapping[str, Any]]) -> str:
    """A line a cell: its values, its runs, the baseline's error, the best arm's."""
    from fine2coarse import formats, terminal

    if not table:
        return ""
    known = ("cell", "finished", "planned", "baseline_error", "arm", "use", "error")
    fields = list(dict.fromkeys(key for record in table for key in record if key not in known))
    columns = [*fields, "runs", "baseline error %", "best arm", "use", "its error %"]
    cells = [
        [
            *(str(record.get(field, "")) for field in fields),
            f"{record['finished']} of {record['planned']}",
            formats.mean_deviation(record["baseline_error"]),
            record["arm"] or "",
            record["use"] or "",
            formats.mean_deviation(record["error"]),
        ]
        for record in table
    ]
    words = len(fields) + 2
    return terminal.table(columns, cells, text_columns=(words, words + 1))
