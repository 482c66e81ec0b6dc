"""Which files are a dataset's shards, and of which split each is, by their names."""

from __future__ import annotations

import dataclasses
import glob
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fine2coarse.archives.archives import SourceError
from fine2coarse.archives.file_tree import is_hidden
from fine2coarse.datasets.folder_layout import (
    DEFAULT_TEST_SHARE,
    SPLIT_OF_FOLDER,
    TEST,
    TRAIN,
    UNSPLIT,
    VAL,
)
from fine2coarse.nearest import nearest

SPLIT_OF_WORD = {**SPLIT_OF_FOLDER, "dev": VAL, "eval": TEST, "evaluation": TEST}
"""Words in names of files and folders, in lower case, and the splits that they mean."""
SUFFIXES = {
    "webdataset": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"),
    "parquet": (".parquet", ".pq"),
}
"""Dataset → how the names of its shards end."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MAX_SHARDS = 1_000_000
_NUM_NAMES_TOLD = 3


class ShardsError(SourceError):
    """Shards that are not there, or not as expected."""


class NoShards(ShardsError):
    """There is nothing where the shards should be."""


@dataclasses.dataclass(frozen=True, slots=True)
class ShardFile:
    """One shard; it travels to workers by pickle.

    Attributes:
      name: its path below the folder that holds all shards, with `/` between the parts.
      path: where it lies.
      split: 'train', 'val' or 'test'; empty where a rule divides the images.
      size: in bytes.
      modified_ns: when its content last changed.
    """

    name: str
    path: str
    split: str
    size: int
    modified_ns: int

    def is_unchanged(self) -> bool:
        """Whether the file is still as it was listed."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns)


def find_shards(source: str, suffixes: Sequence[str], what: str) -> list[ShardFile]:
    """Lists shards by name, each with the split that its name says.

    Args:
      source: a folder, which is gone through to its end; a file; or a pattern with `*`, `?`, `[…]`,
        `**`, or WebDataset's braces, as in `train-{0000..1023}.tar`.
      suffixes: of shards in a folder.
      what: errors call them.

    Raises:
      NoShards: where nothing is there.
      ShardsError: where shards that braces name are missing, or only some shards name a split.
    """
    if "://" in source:
        raise ShardsError(f"{source}: shards are read from a disk; copy them to one first")
    path = pathlib.Path(source)
    if path.is_dir():
        root, paths = path, sorted(_below(path, tuple(suffixes)))
        if not paths:
            raise NoShards(f"{source}: no {what} ({', '.join(suffixes)}) in it{_others(path)}")
    elif path.is_file():
        root, paths = path.parent, [path]
    else:
        paths = _matching(source, what)
        root = pathlib.Path(os.path.commonpath([one.parent for one in paths]))
    shards = []
    for one in paths:
        name = one.relative_to(root).as_posix()
        found = one.stat()
        size, modified_ns = found.st_size, found.st_mtime_ns
        shards.append(ShardFile(name, os.fspath(one), split_of(name), size, modified_ns))
    _check_splits(shards, source)
    return shards


def split_of(name: str) -> str:
    """The split that a shard's name says, empty where it says none.

    The first folder that names one decides, else the last word of the file's name that does:
    `train/0.tar`, `imagenet12k-validation-000.tar`, `test-00000-of-00010.parquet`.

    Args:
      name: path below the folder of all shards.
    """
    *folders, base = name.lower().split("/")
    for folder in folders:
        for word in re.split("[^a-z]+", folder):
            if word in SPLIT_OF_WORD:
                return SPLIT_OF_WORD[word]
    words = [word for word in re.split("[^a-z]+", base) if word in SPLIT_OF_WORD]
    return SPLIT_OF_WORD[words[-1]] if words else UNSPLIT


def with_held_out(
    shards: Sequence[ShardFile], test_share: float | None
) -> tuple[list[ShardFile], float]:
    """Shards whose images a rule divides have no split.

    Args:
      shards: as listed.
      test_share: of each class that becomes `test`; None where it was not given.

    Returns:
      The shards, and the share to hold out: 0 where names say the split of every image.

    Raises:
      ShardsError: where a share is to be held out though there are shards to test on.
    """
    splits = {shard.split for shard in shards}
    if UNSPLIT in splits:
        return list(shards), DEFAULT_TEST_SHARE if test_share is None else test_share
    if test_share is None:
        return list(shards), 0.0
    if TEST in splits:
        named = next(shard.name for shard in shards if shard.split == TEST)
        raise ShardsError(
            f"test_share={test_share:g} was given, but there are shards to test on, such as "
            f"{named}; leave test_share out"
        )
    return [
        dataclasses.replace(shard, split=UNSPLIT) if shard.split == TRAIN else shard
        for shard in shards
    ], test_share


def splits_of_shards(name: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The splits that a dataset will have, by the names of its shards; empty where not known.

    Args:
      name: of the dataset; of others than 'webdataset' and 'parquet' nothing is known.
      options: what it is given.
    """
    if name not in SUFFIXES or not options.get("source"):
        return ()
    try:
        found = find_shards(options["source"], SUFFIXES[name], "shards")
        shards, _ = with_held_out(found, options.get("test_share"))
    except (ShardsError, OSError):
        return ()  # told when it is prepared, or not needed where it is prepared already
    splits = {shard.split for shard in shards}
    if UNSPLIT in splits:
        splits = (splits - {UNSPLIT}) | {TRAIN, TEST}
    return tuple(sorted(splits))


def expand_braces(pattern: str) -> list[str]:
    """A pattern for each way to choose from its braces: `{00..12}` counts, `{a,b}` lists.

    Raises:
      ShardsError: where there are too many, or a count goes down.
    """
    pending, found = {pattern: None}, {}
    while pending:
        text = next(iter(pending))
        del pending[text]
        braces = _BRACES.search(text)  # one without others inside
        if braces is None:
            found[text] = None
            continue
        choices = _choices(braces[1], pattern)
        if len(choices) * (1 + len(pending)) > _MAX_SHARDS:
            raise ShardsError(f"{pattern}: its braces name more than {_MAX_SHARDS:,} shards")
        chosen = [f"{text[: braces.start()]}{one}{text[braces.end() :]}" for one in choices]
        pending = {**dict.fromkeys(chosen), **pending}
    return list(found)


def _choices(inside: str, pattern: str) -> list[str]:
    found = _RANGE.fullmatch(inside)
    if not found:
        return inside.split(",")
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise ShardsError(f"{pattern}: expected {{FIRST..LAST}}, got {{{inside}}}")
    if last - first >= _MAX_SHARDS:
        raise ShardsError(f"{pattern}: {{{inside}}} names more than {_MAX_SHARDS:,} shards")
    return [str(number).zfill(len(found[1])) for number in range(first, last + 1)]


def _below(folder: pathlib.Path, suffixes: tuple[str, ...]) -> Iterator[pathlib.Path]:
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in names:
            if name.lower().endswith(suffixes) and not is_hidden(name):
                yield pathlib.Path(path) / name


def _matching(source: str, what: str) -> list[pathlib.Path]:
    """The files of a pattern, sorted."""
    found: dict[pathlib.Path, None] = {}
    missing: list[str] = []
    patterns = expand_braces(source)
    for pattern in patterns:
        names = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
        paths = [path for path in map(pathlib.Path, names) if path.is_file()]
        found |= dict.fromkeys(paths)
        if not paths:
            missing.append(pattern)
    if not found:
        raise NoShards(f"{source!r}: no such folder, file or pattern of {what}{_close(source)}")
    if missing:
        raise ShardsError(
            f"{source}: {len(missing)} of {len(patterns)} {what} that the braces name are missing, "
            f"such as {', '.join(missing[:_NUM_NAMES_TOLD])}; get them, or name those that are "
            "there"
        )
    return sorted(found)


def _close(source: str) -> str:
    """A name like it that there is, where it is none with wildcards."""
    path = pathlib.Path(source)
    if glob.has_magic(source) or "{" in source or not path.parent.is_dir():
        return ""
    close = nearest(path.name, [one.name for one in path.parent.iterdir()])
    return f"; did you mean {path.with_name(close)}?" if close else ""


def _others(folder: pathlib.Path) -> str:
    """What is in a folder instead, and which dataset reads it."""
    if any(_below(folder, (".parquet",))):
        return "; --dataset=parquet reads the Parquet files there"
    if any(_below(folder, (".tar", ".tar.gz", ".tgz"))):
        return "; --dataset=webdataset reads the tars there"
    names = sorted(path.name for path in folder.iterdir())
    return f", but {names[:8]}" if names else ": it is empty"


def _check_splits(shards: Sequence[ShardFile], source: str) -> None:
    """Raises ShardsError where only some names say a split."""
    bare = [shard.name for shard in shards if shard.split == UNSPLIT]
    if bare and len(bare) < len(shards):
        named = next(shard for shard in shards if shard.split != UNSPLIT)
        raise ShardsError(
            f"{source}: {len(bare)} of {len(shards)} names say no split, such as {bare[0]}, while "
            f"others do, such as {named.name} ({named.split}); give a pattern that leaves one kind "
            "out, or put train, val or test into every name"
        )
