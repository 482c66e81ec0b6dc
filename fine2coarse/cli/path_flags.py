"""Flags that name paths, and mistakes in flags told in one line."""

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Iterator
from typing import NoReturn

from absl import flags

from fine2coarse.paths import PathError, expand

EXIT_USAGE = 2
# Environment variables that name folders; FINE2COARSE_HUB_PATH several, separated like PATH.
_PATH_VARIABLES = (
    "TFDS_DATA_DIR",
    "FINE2COARSE_HUB_PATH",
    "TFHUB_CACHE_DIR",
    "KAGGLEHUB_CACHE",
    "KAGGLE_CONFIG_DIR",
    "KERAS_HOME",
)
# What absl says of a flag that is required.
_NOT_GIVEN = re.compile(r"flag --\w+=None: Flag (--\w+) must have a value other than None\.")
# What it says of a field where there is no card.
_NO_CARD = re.compile(r"Unknown command line flag '(config\.[^']*)'\.?(?: Did you mean:.*)?")
flags.disclaim_key_flags()  # a flag defined here belongs to the program that asked for it


class _PathParser(flags.ArgumentParser):
    """A path: `~` and variables are expanded."""

    syntactic_help = "a path; ~, $NAME and ${NAME} are expanded"

    def parse(self, argument: str) -> str:
        """Expands the path."""
        return expand(argument)

    def flag_type(self) -> str:
        """For --help."""
        return "path"


class _PathsParser(flags.ListParser):
    """Paths with commas between, each expanded."""

    syntactic_help = "paths with commas between; ~, $NAME and ${NAME} are expanded"

    def parse(self, argument: str | list[str]) -> list[str]:
        """Splits, and expands each path."""
        return [expand(path) for path in super().parse(argument)]


def define_path(name: str, default: str | None, text: str) -> flags.FlagHolder[str]:
    """Defines a flag that names a file or a folder, with `~` and variables expanded.

    Args:
      name: of the flag.
      default: value where it is not given.
      text: what `--help` shows.
    """
    return flags.DEFINE(_PathParser(), name, default, text, serializer=flags.ArgumentSerializer())


def define_paths(name: str, default: list[str], text: str) -> flags.FlagHolder[list[str]]:
    """Defines a flag that names several files or folders, with commas between."""
    serializer = flags.CsvListSerializer(",")
    return flags.DEFINE(_PathsParser(), name, default, text, serializer=serializer)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the flags as absl does, but tells a mistake in one line with exit code 2.

    Paths in environment variables are expanded too, before anything reads them.
    """
    try:
        _expand_variables()
        with _arguments(_card_first(argv)) as ordered:
            return flags.FLAGS(ordered)
    except (flags.Error, PathError) as error:
        if os.environ.get("FINE2COARSE_TRACEBACK"):
            raise
        told = _NOT_GIVEN.sub(r"\1 must have a value.", str(error))
        fail(_NO_CARD.sub(r"--\1 sets a field of a recipe card: give --config=CARD too", told))


def _card_first(argv: list[str]) -> list[str]:
    """The arguments with --config before every --config.FIELD, whose flags the card defines."""
    if "config" not in flags.FLAGS:
        return argv
    card, others = [], []
    rest = iter(flags.FLAGS.read_flags_from_files(argv[1:], force_gnu=False))
    for argument in rest:
        if argument == "--":
            others += [argument, *rest]
        elif argument in ("--config", "-config"):
            card += [argument, *itertools.islice(rest, 1)]
        else:
            is_card = argument.startswith(("--config=", "-config="))
            (card if is_card else others).append(argument)
    return [argv[0], *card, *others]


@contextlib.contextmanager
def _arguments(argv: list[str]) -> Iterator[list[str]]:
    """Has the flag --config see these: it looks its fields up in `sys.argv`."""
    typed, sys.argv = sys.argv, argv
    try:
        yield argv
    finally:
        sys.argv = typed


def fail(message: str) -> NoReturn:
    """Tells a mistake in one line, and leaves with exit code 2."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(EXIT_USAGE)


def _expand_variables() -> None:
    for name in _PATH_VARIABLES:
        if os.environ.get(name):
            try:
                paths = [expand(path) for path in os.environ[name].split(os.pathsep)]
            except PathError as error:
                raise PathError(f"environment variable {name}: {error}") from error
            os.environ[name] = os.pathsep.join(paths)
