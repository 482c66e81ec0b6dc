"""What `fine2coarse study` does with one study, or with the cells of a sweep."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import fine2coarse
from fine2coarse.api import conclude, with_addresses
from fine2coarse.cli.backend_flag import backend_argument
from fine2coarse.cli.device_flags import engine_of_flags
from fine2coarse.cli.folder_flags import DATA_DIR, WORKDIR, data_folder, given_data_folders
from fine2coarse.cli.jobs import (
    check_codes,
    command_without,
    run_jobs,
    visible_gpus,
    without_flags,
)
from fine2coarse.cli.packed_flag import PACKED
from fine2coarse.cli.program import program_name
from fine2coarse.errors import EXIT_TRY_AGAIN, UsageError

if TYPE_CHECKING:
    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run
    from fine2coarse.studies.sweep import Cell

# Flags that say which part of a study a process does, and how.
PARTS = ("arm", "seed", "shard", "list", "dry_run", "jobs", "wait", "report")


@dataclasses.dataclass(frozen=True)
class StudyCommand:
    """A study, or the cells of a sweep, and which of the runs this process shall do.

    Attributes:
      recipe: of --config.
      sweeps: what --sweep says, a text a field.
      arms: of --arm.
      seeds: of --seed, as text.
      shard: of --shard, as text.
      claim_timeout_s: of --claim_timeout_s.
    """

    recipe: Recipe
    sweeps: Sequence[str]
    arms: Sequence[str]
    seeds: Sequence[str]
    shard: str
    claim_timeout_s: float

    def check(self) -> None:
        """Raises UsageError where the flags do not fit the recipe, before anything heavy starts."""
        self._parts()
        self._runs()

    def commands(self) -> Iterator[str]:
        """A line a run, quoted for a shell."""
        for cell, runs in self._runs():
            of_cell = _command_of(cell) if cell else command_without(*PARTS)
            for run in runs:
                part = [f"--arm={run.arm}", f"--seed={run.seed}"]
                yield shlex.join([*of_cell, *backend_argument(), *part])

    def plans(self, throughputs: str | None) -> Iterator[str]:
        """Every run with its cost, in parts, each when it is known."""
        from fine2coarse.studies.dry_run import describe_study
        from fine2coarse.studies.mirror import open_workdir

        table = pathlib.Path(throughputs) if throughputs else None
        engine = engine_of_flags()
        for cell, runs in self._runs():
            if cell:
                yield f"\n{cell.name}"
            recipe = cell.recipe if cell else self.recipe
            with open_workdir(_folder_of(cell)) as (workdir, mirror):
                if mirror:
                    mirror.pull()
                yield from describe_study(
                    recipe, runs, workdir, engine, data_folder(), table, packed=PACKED.value
                )

    def run(self, *, wait: bool, report: bool) -> fine2coarse.StudyResult | fine2coarse.SweepResult:
        """Does the runs in this process."""
        over, parts = self._over(), self._parts()
        do = fine2coarse.run_sweep if over else fine2coarse.run_study
        return do(
            self.recipe,
            WORKDIR.value,
            **({"over": over} if over else {}),
            **parts,
            data_dir=data_folder(),
            packed=PACKED.value,
            strategy=engine_of_flags(),
            wait=wait,
            report=report,
            claim_timeout_s=self.claim_timeout_s,
            command=[
                program_name("study"),
                *without_flags(sys.argv[1:], (*PARTS, "sweep")),
                *backend_argument(),
            ],
        )

    def run_in_jobs(
        self, num_jobs: int, *, report: bool
    ) -> fine2coarse.StudyResult | fine2coarse.SweepResult:
        """Lets several processes on this machine do the runs, then reports as one."""
        from fine2coarse.studies.mirror import open_workdir
        from fine2coarse.studies.study import Study

        command = [*command_without("jobs", "report"), "--noreport"]
        if self.sweeps:
            return self._sweep_in_jobs(command, num_jobs, report)
        with open_workdir(WORKDIR.value) as (workdir, mirror):
            study = Study(self.recipe, workdir, self.claim_timeout_s, mirror)
            codes = run_jobs(command, num_jobs, visible_gpus())
            result = conclude(study, data_dirs=_data_dirs(), report=_may_report(codes, report))
            result = with_addresses(WORKDIR.value, result)
            _end_as(codes, result)
            return result

    def _sweep_in_jobs(
        self, command: Sequence[str], num_jobs: int, report: bool
    ) -> fine2coarse.SweepResult:
        from fine2coarse.studies.study import Study
        from fine2coarse.studies.sweep import check_cells
        from fine2coarse.sweeps import conclude_sweep, local_folder

        cells, folder = self._cells(), local_folder(WORKDIR.value)
        check_cells(cells, folder)
        codes = run_jobs(command, num_jobs, visible_gpus())
        is_written = _may_report(codes, report)
        for cell in cells:
            if (folder / cell.name / "recipe.json").is_file():
                study = Study(cell.recipe, folder / cell.name, self.claim_timeout_s)
                conclude(study, data_dirs=_data_dirs(), report=is_written)
        result = conclude_sweep(folder, cells, report=is_written)
        _end_as(codes, result)
        return result

    def _over(self) -> Mapping[str, Sequence[str]]:
        from fine2coarse.studies.sweep import parse_sweeps

        return parse_sweeps(self.sweeps)

    def _cells(self) -> Sequence[Cell]:
        from fine2coarse.studies.sweep import plan_sweep

        return plan_sweep(self.recipe, self._over()) if self.sweeps else ()

    def _parts(self) -> dict[str, Any]:
        from fine2coarse.studies.run_plan import parse_shard

        try:
            seeds = [int(seed) for seed in self.seeds]
        except ValueError:
            raise UsageError(f"--seed expects whole numbers, got {list(self.seeds)}") from None
        return {"arms": self.arms, "seeds": seeds, "shard": parse_shard(self.shard)}

    def _runs(self) -> list[tuple[Cell | None, Sequence[Run]]]:
        """The runs of each cell; of the study where there is no sweep."""
        from fine2coarse.studies.run_plan import plan_runs, select_runs
        from fine2coarse.studies.sweep import share_of_cells

        if not self.sweeps:
            return [(None, select_runs(plan_runs(self.recipe), **self._parts()))]
        cells = self._cells()
        shares = share_of_cells(cells, **self._parts())
        return [(cell, shares[cell.name]) for cell in cells]


def _folder_of(cell: Cell | None) -> str:
    return f"{WORKDIR.value.rstrip('/')}/{cell.name}" if cell else WORKDIR.value


def _command_of(cell: Cell) -> list[str]:
    """The command that does a cell as a study of its own."""
    folders = [f"--workdir={_folder_of(cell)}"]
    if DATA_DIR.value is None and "TFDS_DATA_DIR" not in os.environ:
        folders.append(f"--data_dir={data_folder()}")
    return [*command_without(*PARTS, "sweep", "workdir"), *folders, *cell.flags]


def _data_dirs() -> tuple[pathlib.Path, ...]:
    packed = [pathlib.Path(PACKED.value)] if PACKED.value else []
    return (*packed, *given_data_folders(), pathlib.Path(data_folder()))


def _may_report(codes: Sequence[int], report: bool) -> bool:
    """Whether there is time to write a report: not where the jobs were asked to stop."""
    return report and EXIT_TRY_AGAIN not in codes


def _end_as(codes: Sequence[int], result: object) -> None:
    """Ends with an error where jobs failed, after showing what is finished."""
    if any(codes):
        print(result, file=sys.stderr)
    check_codes(codes)
