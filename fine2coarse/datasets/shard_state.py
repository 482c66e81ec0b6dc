"""Whether shards are still those that data was prepared from, and where their data lies."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from etils import epath

from fine2coarse.datasets.label_levels import WORDNET
from fine2coarse.datasets.shard_files import NoShards, ShardFile, ShardsError, find_shards
from fine2coarse.datasets.shard_scan import ShardReader, ShardScan
from fine2coarse.datasets.state_folders import StateFolders
from fine2coarse.files import read_json, write_json
from fine2coarse.preparation.preparation_report import damaged

if TYPE_CHECKING:
    from fine2coarse.datasets.sharded import ShardedBuilder, ShardedConfig

_log = logging.getLogger(__name__)

STATE_NAME = "source_shards.json"
"""What the shards were, beside the data that was prepared from them."""


@dataclasses.dataclass(frozen=True)
class ShardsState:
    """What shards, and the files beside them, were when data was prepared.

    Attributes:
      shards: name → size, time of change in ns, and digest of the scan.
      files: option → digest of the file.
      reader: that gave the digests.
    """

    shards: Mapping[str, tuple[int, int, str]]
    files: Mapping[str, str]
    reader: str

    @classmethod
    def of(
        cls,
        shards: Sequence[ShardFile],
        digests: Mapping[str, str],
        files: Mapping[str, str],
        reader: ShardReader,
    ) -> ShardsState:
        """The state of listed shards."""
        stored = {s.name: (s.size, s.modified_ns, digests[s.name]) for s in shards}
        return cls(stored, files, repr(reader))

    def save(self, folder: epath.PathLike) -> None:
        """Writes it beside prepared data."""
        content = {"shards": self.shards, "files": self.files, "reader": self.reader}
        write_json(epath.Path(folder) / STATE_NAME, content)

    @classmethod
    def load(cls, folder: epath.PathLike) -> ShardsState:
        """Reads it.

        Raises:
          SourceError: where it is damaged.
        """
        path = epath.Path(folder) / STATE_NAME
        try:
            content = read_json(path)
            shards = {name: tuple(fields) for name, fields in content["shards"].items()}
            return cls(shards, content["files"], content["reader"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path, error.__cause__ or error) from error

    def changes(
        self, shards: Sequence[ShardFile], files: Mapping[str, str], scan: Callable
    ) -> tuple[str, bool]:
        """What is different now, in words, and whether times of unchanged shards are new.

        Args:
          shards: as they are now.
          files: option → digest, of the files that are there.
          scan: looks through a shard whose name and size are the same, but not its time.
        """
        now = {shard.name: shard for shard in shards}
        new = sorted(now.keys() - self.shards.keys())
        gone = sorted(self.shards.keys() - now.keys())
        told = [f"{len(names)} {what}, such as {names[0]}" for names, what in (
            (new, "new"), (gone, "gone")) if names]  # fmt: skip
        told += [
            f"the file of {key} is another" for key in files if files[key] != self.files.get(key)
        ]
        if told:
            return "; ".join(told), False
        is_touched = False
        for shard in shards:
            size, modified_ns, before = self.shards[shard.name]
            if shard.size != size:
                return f"{shard.name} is changed", False
            if shard.modified_ns != modified_ns:
                if scan(shard).digest != before:
                    return f"{shard.name} is changed", False
                is_touched = True
        return "", is_touched


def find_prepared_shards(
    own: ShardedConfig,
    builder_class: type[ShardedBuilder],
    builder_named: Callable[[str], ShardedBuilder],
    data_dir: str,
) -> ShardedBuilder:
    """The builder of the data prepared from shards as they are now, prepared already or not.

    Data is never prepared over other data: each state of the shards has a folder of its own.

    Args:
      own: its name is what names of the prepared folders begin with.
      builder_class: of the format.
      builder_named: makes the builder whose data lies in a folder of this name.
      data_dir: of all prepared data.

    Raises:
      ShardsError: where there are no shards and nothing was prepared from them.
      SourceError: where what was prepared is damaged.
    """
    folders = StateFolders(
        pathlib.Path(data_dir) / builder_class.name, own.name, str(builder_class.VERSION)
    )
    earlier = folders.prepared(STATE_NAME)
    reader = own.reader()
    try:
        shards = find_shards(own.source, reader.suffixes, reader.what)
    except NoShards as error:
        if not earlier:
            raise
        _log.info("%s; using the data prepared from it, %s", error, earlier[0])
        return builder_named(earlier[0].parent.name)
    files = file_digests(own.label_files(), is_needed=not earlier)
    told = ""
    for folder in earlier:
        state = ShardsState.load(folder)
        changes, is_touched = state.changes(shards, files, _scanner(reader, shards, state.reader))
        if not changes:
            if is_touched:
                _save_times(state, shards, folder)
            return builder_named(folder.parent.name)
        told = told or f"{own.source} has changed since {folder} was prepared: {changes}"
    if told:
        _log.info("%s. It is prepared again, beside the old data", told)
        files = file_digests(own.label_files())
    reader.settled(shards[0])  # what it refuses is refused before a folder is made
    rows = sorted((shard.name, shard.size, shard.modified_ns) for shard in shards)
    new = folders.new_name(earlier, lambda number: _digest([number, rows, files]))
    folders.tell_of_unfinished(new, "the shards")
    return builder_named(new)


def _scanner(
    reader: ShardReader, shards: Sequence[ShardFile], before: str
) -> Callable[[ShardFile], ShardScan]:
    """Looks through shards as it was done before; by another reader, no digest is the same."""
    settled = functools.cache(lambda: reader.settled(shards[0]))

    def scan(shard: ShardFile) -> ShardScan:
        if repr(settled()) != before:
            return ShardScan.failed("read in another way")
        _log.info("%s has another time of change; its labels are compared", shard.path)
        return settled().scan(shard)

    return scan


def _save_times(state: ShardsState, shards: Sequence[ShardFile], folder: pathlib.Path) -> None:
    stored = {s.name: (s.size, s.modified_ns, state.shards[s.name][2]) for s in shards}
    try:
        dataclasses.replace(state, shards=stored).save(folder)
    except OSError:  # a folder that others prepared
        _log.debug("%s cannot be written", folder)


def file_digests(files: Mapping[str, str], *, is_needed: bool = True) -> dict[str, str]:
    """Option → digest of its file.

    Args:
      files: option → path.
      is_needed: whether a missing one is an error; else it is left out.
    """
    found = {}
    for option, path in files.items():
        file = pathlib.Path(path)
        if file.is_file():
            found[option] = hashlib.sha256(file.read_bytes()).hexdigest()
        elif is_needed:
            hint = f", or '{WORDNET}'" if option == "taxonomy" else ""
            raise ShardsError(f"{option}={path}: no such file; expected the path of one{hint}")
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
