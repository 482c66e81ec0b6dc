"""What the launchers share: their common flags, and errors told in one line."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import app, flags, logging

from fine2coarse.cli.config_flag import define_config
from fine2coarse.cli.path_flags import EXIT_USAGE, define_path, fail, parse_flags
from fine2coarse.cli.startup import start_tensorflow

if TYPE_CHECKING:
    import tensorflow as tf

    from fine2coarse.claims import Claim
    from fine2coarse.datasets.prepared import PreparedDataset
    from fine2coarse.recipes.recipe import Recipe
    from fine2coarse.studies.run_plan import Run
    from fine2coarse.studies.study_data import StudyData

CONFIG = define_config()
WORKDIR = define_path("workdir", None, "Folder of this study or run.")
DATA_DIR = define_path(
    "data_dir", None, "Folder of prepared data; default: TFDS_DATA_DIR, or `data` in --workdir."
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    "auto",
    ["auto", "one_device", "mirrored", "multi_worker", "tpu"],
    "How training spreads over devices; multi_worker reads TF_CONFIG.",
)
TPU = flags.DEFINE_string("tpu", "", "Name of the TPU, or `local` for one on this machine.")
NUM_LOGICAL_CPUS = flags.DEFINE_integer(
    "num_logical_cpus", 0, "Split the CPU into as many devices, to try --strategy=mirrored."
)

TRANSFER_CANDIDATES = flags.DEFINE_enum(
    "transfer_candidates",
    None,
    ["auto", "off"],
    "auto: several transfers are tried, the best on held-out training images counts; off: one "
    "fixed transfer. Default: what the recipe says.",
)

_KNOWN_ERRORS = (ValueError, RuntimeError, ArithmeticError, FileNotFoundError, KeyError)


def data_folder() -> str:
    """Where prepared data lies."""
    default = f"{(WORKDIR.value or '.').rstrip('/')}/data"
    return DATA_DIR.value or os.environ.get("TFDS_DATA_DIR") or default


def read_recipe() -> "Recipe":
    """The recipe of --config and the flags that change it.

    Raises:
      RecipeError: naming the key at fault.
    """
    from fine2coarse.recipes.recipe import Recipe

    content = CONFIG.value.to_dict()
    if TRANSFER_CANDIDATES.value is not None:
        content["transfer_candidates"] = TRANSFER_CANDIDATES.value
    return Recipe.from_config(content)


def open_study(
    recipe: "Recipe", runs: "Sequence[Run] | None" = None
) -> "tuple[tf.distribute.Strategy, StudyData]":
    """The strategy, and the data of a recipe: prepared on first use, label spaces made.

    Args:
      recipe: of the study.
      runs: those whose label spaces are wanted; all of them where None.
    """
    from fine2coarse.studies.study_data import load_study_data
    from fine2coarse.training.strategy import make_strategy

    strategy = make_strategy(STRATEGY.value, NUM_LOGICAL_CPUS.value, TPU.value)
    dataset = open_prepared(recipe.dataset.name, recipe.dataset.options)
    others = [
        spec and open_prepared(spec.name, spec.options)
        for spec in (recipe.evaluation, recipe.transfer_dataset)
    ]
    return strategy, load_study_data(recipe, dataset, *others, runs=runs)


def open_prepared(name: str, options: Mapping[str, Any]) -> "PreparedDataset":
    """A dataset; where several processes want it, the first prepares it and the others wait."""
    from fine2coarse.claims import first_to_prepare
    from fine2coarse.datasets.open import open_dataset

    with first_to_prepare(data_folder(), name, options, _note):
        dataset = open_dataset(name, options, data_folder())
        dataset.contents  # noqa: B018 - of other builders' data it is read once, by one process
        return dataset


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


@contextlib.contextmanager
def hold_workdir() -> Iterator["Claim"]:
    """Refuses a second process on --workdir, but for the other workers of the same run.

    Raises:
      AlreadyHeld: where a living process works in it.
      RunError: where it cannot be written.
      ValueError: where TF_CONFIG is wrong.
    """
    from fine2coarse.claims import hold
    from fine2coarse.runs.phase_folder import make_writable_folder
    from fine2coarse.training.strategy import is_multi_worker, read_task

    name, folder = "run", pathlib.Path(WORKDIR.value)
    if is_multi_worker(STRATEGY.value):
        task = read_task()
        name = name if task.is_chief else f"{name}-{task.kind}{task.index}"
    make_writable_folder(folder)
    with hold(folder / "claims", name, f"--workdir={folder}") as claim:
        yield claim


def refuse_workers(instead: str) -> None:
    """Refuses to be one of several workers, for programs that train no run.

    Args:
      instead: what to do, for the error.

    Raises:
      ValueError: where TF_CONFIG or --strategy says that this is a worker.
    """
    from fine2coarse.training.strategy import is_multi_worker

    if is_multi_worker(STRATEGY.value):
        raise ValueError(f"TF_CONFIG or --strategy makes this process one of several: {instead}")


def run_main(
    main: Callable[[], None],
    required: tuple[str, ...] = ("config", "workdir"),
    needs_tensorflow: bool = True,
    takes_remote_workdir: bool = False,
) -> None:
    """Parses the flags, runs, and tells a mistake in one line with exit code 2.

    Set FINE2COARSE_TRACEBACK=1 to see where an error came from.
    """
    for name in required:
        flags.mark_flag_as_required(name)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    def guarded(argv: list[str]) -> None:
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1:
            fail(f"unexpected arguments {argv[1:]}; flags begin with --")
        try:
            if "://" in (WORKDIR.value or "") and not takes_remote_workdir:
                raise ValueError(
                    f"--workdir={WORKDIR.value}: this program works in local folders; "
                    "launch/study.py takes remote ones"
                )
            if needs_tensorflow:
                start_tensorflow()
            main()
        except Exception as error:
            if os.environ.get("FINE2COARSE_TRACEBACK") or not _is_known(error):
                raise
            print(f"error: {_tell(error)}", file=sys.stderr)
            sys.exit(_exit_code(error))

    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
    """As `parse_flags`; a mistake in a config is told in one line too."""
    try:
        remaining = parse_flags(argv)
        CONFIG.value  # noqa: B018 - a file that could not be read is told of here
        return remaining
    except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        if os.environ.get("FINE2COARSE_TRACEBACK"):
            raise
        fail(f"--config: {str(error).replace(chr(92) + 'n', ' ')}")


def _is_known(error: Exception) -> bool:
    module = type(error).__module__
    return (
        isinstance(error, OSError)
        or (isinstance(error, _KNOWN_ERRORS) and module.startswith(("fine2coarse", "builtins")))
        or _is_disk_full(error)
    )


def _exit_code(error: Exception) -> int:
    """75 where the run was stopped by SIGTERM and goes on with the same command."""
    from fine2coarse.training.preemption import EXIT_PREEMPTED, Preempted

    return EXIT_PREEMPTED if isinstance(error, Preempted) else EXIT_USAGE


def _is_disk_full(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)


def _tell(error: Exception) -> str:
    if _is_disk_full(error):
        return (
            f"the disk is full ({error}). Nothing finished is lost: make space and run the same "
            "command again"
        )
    return str(error)
