"""Whether the photographs are still those that data was prepared from.

Beside the prepared data lies `source_files.npz`: every file's name, size, times of change, inode,
and what its image shows. Files of the same name and size but of another time or inode are in doubt,
and are read. Hidden files and those of systems do not count.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from etils import epath

from fine2coarse.archives.file_tree import ArchiveTree, FileTree, ListedFile, is_hidden
from fine2coarse.files import write_atomic
from fine2coarse.labels.space import UNREADABLE
from fine2coarse.preparation.digests import hash128
from fine2coarse.preparation.image_checks import check_image
from fine2coarse.preparation.preparation_report import damaged

_log = logging.getLogger(__name__)

STATE_NAME = "source_files.npz"
UNUSABLE, NOT_LOOKED_AT = (0, 0), (0, 1)  # in the place of what a file shows
_NUM_READ_TOLD = 1000
_NUM_NAMES_TOLD = 3


@dataclasses.dataclass(frozen=True, eq=False)
class SourceState:
    """The files of a source when it was read; N files, by name.

    Attributes:
      names: of the files, below the source's root.
      sizes: int64 [N], bytes.
      stamps: uint64 [N, 3], `ListedFile.stamp`.
      digests: uint64 [N, 2], `image_checks.content_digest` of what was stored; of taxonomy.csv
        the hash of its bytes; `UNUSABLE` of images that were skipped, `NOT_LOOKED_AT` of files
        that are no images of a class.
    """

    names: Sequence[str]
    sizes: np.ndarray
    stamps: np.ndarray
    digests: np.ndarray

    @classmethod
    def of(cls, files: Iterable[ListedFile], digests: Mapping[str, tuple[int, int]]) -> SourceState:
        """The state of listed files, whose images have these digests."""
        files = sorted(_visible(files), key=lambda file: file.name)
        shown = [digests.get(file.name, NOT_LOOKED_AT) for file in files]
        return cls(
            [file.name for file in files],
            np.asarray([file.size for file in files], np.int64),
            np.asarray([file.stamp for file in files], np.uint64).reshape(-1, 3),
            np.asarray(shown, np.uint64).reshape(-1, 2),
        )

    @property
    def digest_of(self) -> dict[str, tuple[int, int]]:
        """Name → digest."""
        return dict(zip(self.names, map(tuple, self.digests.tolist())))

    def is_of_archive(self, tree: FileTree) -> bool:
        """Whether this is the state of an unchanged archive, known without reading it."""
        if not isinstance(tree, ArchiveTree) or not len(self.stamps):
            return False
        stamps = {tuple(stamp) for stamp in np.unique(self.stamps, axis=0).tolist()}
        return len(stamps) == 1 and tree.is_as_of(stamps.pop())

    def save(self, folder: epath.PathLike) -> None:
        """Writes it beside prepared data."""
        names = "\0".join(self.names).encode("utf-8", "surrogateescape")
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            names=np.frombuffer(names, np.uint8),
            sizes=self.sizes,
            stamps=self.stamps,
            digests=self.digests,
        )
        write_atomic(epath.Path(folder) / STATE_NAME, buffer.getvalue())

    @classmethod
    def load(cls, folder: epath.PathLike) -> SourceState | None:
        """Reads it; None where there is none.

        Raises:
          SourceError: where it is damaged.
        """
        path = epath.Path(folder) / STATE_NAME
        if not path.exists():
            return None
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
                names = stored["names"].tobytes().decode("utf-8", "surrogateescape")
                fields = [stored[name] for name in ("sizes", "stamps", "digests")]
        except UNREADABLE as error:
            raise damaged(path, error) from error
        return cls(names.split("\0") if names else [], *fields)


def _visible(files: Iterable[ListedFile]) -> list[ListedFile]:
    return [file for file in files if not is_hidden(file.name)]


def listing_digest(files: Iterable[ListedFile], number: int) -> str:
    """Hex digest of names, sizes and times: the name of a state that is to be prepared.

    Args:
      files: of the source.
      number: another one gives another name, for states that differ in content alone.
    """
    rows = sorted((file.name, file.size, file.stamp[0]) for file in _visible(files))
    text = json.dumps([number, rows])  # escapes what is not ASCII, names of other encodings too
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass(frozen=True)
class Changes:
    """What is different in a source since it was read.

    Attributes:
      new: names of files that were not there.
      gone: names of files that are no longer there.
      changed: names of files with other content.
      touched: names of files with another stamp; of the same content where nothing else changed.
    """

    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    touched: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is different that matters."""
        return bool(self.new or self.gone or self.changed)

    def __str__(self) -> str:
        """For people to read, with some of the names."""
        kinds = (("new", self.new), ("gone", self.gone), ("changed", self.changed))
        return "; ".join(
            f"{len(names)} {'file is' if len(names) == 1 else 'files are'} {kind}, such as "
            f"{names[0]}"
            for kind, names in kinds
            if names
        )


def changes_since(before: SourceState, tree: FileTree, listed: Iterable[ListedFile]) -> Changes:
    """Compares a source with its state of before.

    Reads the files that are in doubt, up to the first that has changed.

    Args:
      before: the state.
      tree: the source.
      listed: its files now.

    Raises:
      SourceError: where the source is an archive that is damaged by now.
    """
    now = {file.name: file for file in _visible(listed)}
    new = tuple(sorted(now.keys() - set(before.names)))
    gone = tuple(name for name in before.names if name not in now)
    changed, doubtful = [], []
    for row, name in enumerate(before.names):
        if name not in now:
            continue
        if now[name].size != before.sizes[row]:
            changed.append(name)
        elif now[name].stamp != tuple(before.stamps[row].tolist()):
            doubtful.append(now[name])
    if not (new or gone or changed):
        if len(doubtful) >= _NUM_READ_TOLD:
            _log.info(
                "comparing %d files whose times changed with what was prepared", len(doubtful)
            )
        row_of = {name: row for row, name in enumerate(before.names)}
        for file, data in tree.read(doubtful):
            if not _shows(data, tuple(before.digests[row_of[file.name]].tolist())):
                changed.append(file.name)
                break
    return Changes(new, gone, tuple(changed), tuple(file.name for file in doubtful))


def _shows(data: bytes, digest: tuple[int, int]) -> bool:
    """Whether a file is what it was: shows the same image, or can be used as little as then."""
    if digest in (NOT_LOOKED_AT, hash128(data)):
        return True
    checked = check_image(data)
    return digest == UNUSABLE if checked.problem else digest == checked.digest
