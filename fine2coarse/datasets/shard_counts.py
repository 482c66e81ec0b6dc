"""Whether all shards of a dataset are there, by what their names and the file beside them say.

`train-00003-of-00010.parquet` says that there are ten; timm's `_info.json` names the shards of each
split, and how many images each has. A part of a dataset may be meant, so what lacks is told and no
more.
"""

from __future__ import annotations

import logging
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fine2coarse.datasets.shard_files import ShardFile
from fine2coarse.files import read_json

_log = logging.getLogger(__name__)

INFO_NAMES = ("_info.json", "info.json")
_NUMBERED = re.compile(r"(.*?)(\d{3,})-of-(\d{3,})(.*)")


def tell_of_missing(shards: Sequence[ShardFile], num_images: Mapping[str, int]) -> None:
    """Says in the log which shards lack, or have other numbers of images than are said.

    Args:
      shards: all that were found.
      num_images: name of a shard → keys or rows in it.
    """
    for line in (*missing_by_name(shards), *missing_by_info(shards, num_images)):
        _log.warning("%s", line)


def missing_by_name(shards: Sequence[ShardFile]) -> Iterator[str]:
    """A line for each kind of name whose numbers are not all there."""
    found: dict[tuple[str, str, str], set[int]] = {}
    for shard in shards:
        match = _NUMBERED.fullmatch(shard.name)
        if match:
            found.setdefault((match[1], match[3], match[4]), set()).add(int(match[2]))
    for (before, total, behind), numbers in found.items():
        missing = [number for number in range(int(total)) if number not in numbers]
        if missing:
            name = f"{before}{str(missing[0]).zfill(len(total))}-of-{total}{behind}"
            yield f"shards that are not there: {len(missing)} of {int(total)}, such as {name}"


def missing_by_info(shards: Sequence[ShardFile], num_images: Mapping[str, int]) -> Iterator[str]:
    """A line for each split whose shards are not as the file beside them says."""
    folders = dict.fromkeys(pathlib.Path(shard.path).parent for shard in shards)
    for folder in folders:
        there = {
            pathlib.Path(shard.path).name: num_images[shard.name]
            for shard in shards
            if pathlib.Path(shard.path).parent == folder
        }
        for path in (folder / name for name in INFO_NAMES):
            if path.is_file():
                for split, lengths in _lengths(path):
                    yield from _differences(path, split, lengths, there)
                break


def _lengths(path: pathlib.Path) -> Iterator[tuple[str, dict[str, int]]]:
    """Splits, and the images of each of their shards; nothing where the file is another kind."""
    try:
        splits: Any = read_json(path)["splits"]
        for name, split in splits.items():
            yield name, dict(zip(split["filenames"], split["shard_lengths"], strict=True))
    except (ValueError, TypeError, KeyError, AttributeError):
        return


def _differences(
    path: pathlib.Path, split: str, lengths: Mapping[str, int], there: Mapping[str, int]
) -> Iterator[str]:
    present = [name for name in lengths if name in there]
    missing = [name for name in lengths if name not in there]
    if present and missing:
        yield (
            f"shards of {split} that {path} names and that are not there: {len(missing)} of "
            f"{len(lengths)}, such as {missing[0]}"
        )
    others = [name for name in present if lengths[name] != there[name]]
    if others:
        name = others[0]
        yield (
            f"shards of {split} with another number of images than {path} says: {len(others)}, "
            f"such as {name} with {there[name]} instead of {lengths[name]}"
        )
