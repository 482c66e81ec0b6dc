"""ImageNet-21k as people have it on disk: five layouts, recognised by their content."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import ClassVar

from fine2coarse.archives import archives
from fine2coarse.archives.archives import Archive, Entry, Skip, SourceError, printable
from fine2coarse.preparation.file_batches import (
    NOT_IN_LAYOUT,
    BatchFile,
    BatchFiller,
    FileBatch,
    ListedFolder,
    NestedTar,
    SynsetFiles,
    digest,
    list_folder,
)
from fine2coarse.taxonomy.wordnet import is_synset_id

EXPECTED = (
    "one of these in the folder given as manual_dir: fall11_whole.tar, a tar of per-synset tars "
    "(nXXXXXXXX.tar); winter21_whole.tar.gz, the same, gzipped; a folder of per-synset tars; "
    "ImageNet-21K-P's folders, imagenet21k_train/nXXXXXXXX/*.JPEG and imagenet21k_val/...; an "
    "archive of such folders (.tar.gz, .tar or .zip)"
)

_MAX_FOLDER_DEPTH = 3
_MAX_TAR_BYTES = 16 << 30  # of a synset's tar
_NUM_NAMES_LOOKED_AT = 1000


@dataclasses.dataclass(frozen=True)
class Leaves:
    """The synsets that are labels.

    Attributes:
      labels: synset id → leaf label.
      known: synset ids that the taxonomy's table has, leaves or not.
    """

    labels: Mapping[str, int]
    known: frozenset[str]

    def files(self, synset: str) -> SynsetFiles:
        """What becomes of a synset's files."""
        return SynsetFiles(synset, self.labels.get(synset, -1), synset in self.known)


@dataclasses.dataclass(frozen=True)
class _ArchiveSource:
    """What all layouts in an archive have in common.

    Attributes:
      archive: it.
      leaves: the synsets that are labels; others are skipped.
      holds: what is in it, for people to read; of the layout.
    """

    archive: Archive
    leaves: Leaves
    holds: ClassVar[str]

    @property
    def num_bytes(self) -> int:
        """Size of the archive."""
        return self.archive.path.stat().st_size

    @property
    def can_be_shared(self) -> bool:
        """Whether workers can read parts of it on their own."""
        return self.archive.has_random_access

    @property
    def kind(self) -> str:
        """For people to read."""
        return f"{self.archive.kind} of {self.holds}"

    def identity(self) -> Mapping[str, object]:
        """Kind, and the archive's name, size and modification time."""
        return {"kind": self.kind, **self.archive.identity()}


class SynsetTars(_ArchiveSource):
    """An archive of per-synset tars."""

    holds = "per-synset tars"

    def synsets(self) -> list[str]:
        """The synset ids that have a tar in it, sorted; a compressed one is read to the end."""
        return sorted(set(map(_synset_of, self.archive.names())) - {""})

    def units(self, finished: Container[str]) -> Iterator[NestedTar | Skip]:
        """Yields the synsets' tars in the archive's order.

        Raises:
          SourceError: where the archive is cut off or damaged; where it is read in any order, at
            the start.
        """
        if self.archive.has_random_access:
            entries, skips = self.archive.scan(_MAX_TAR_BYTES)
            yield from skips
            for entry in entries:
                yield self._unit(entry, None)
            return
        for item in self.archive.stream(
            lambda name: bool(_synset_of(name)) and printable(name) not in finished, _MAX_TAR_BYTES
        ):
            yield item if isinstance(item, Skip) else self._unit(*item)

    def _unit(self, entry: Entry, data: bytes | None) -> NestedTar | Skip:
        key = printable(entry.name)
        synset = _synset_of(entry.name)
        if not synset:
            return Skip(key, NOT_IN_LAYOUT, "expected tars named nXXXXXXXX.tar")
        files = self.leaves.files(synset)
        if self.archive.has_random_access:
            return NestedTar(key, files, entry.size, self.archive, entry)
        return NestedTar(key, files, entry.size, data=data)


class ArchivedFolders(_ArchiveSource):
    """An archive of folders of images named by their synset."""

    holds = "a folder for each synset"

    def synsets(self) -> list[str]:
        """The synset ids that have a folder in it, sorted; a compressed one is read to the end."""
        return sorted(set(map(_folder_synset, self.archive.names())) - {""})

    def units(self, finished: Container[str]) -> Iterator[FileBatch | Skip]:
        """Yields batches of images in the archive's order.

        Raises:
          SourceError: where the archive is cut off or damaged; where it is read in any order, at
            the start.
        """
        filler = BatchFiller("files", "", self.archive)
        for item in self._items(filler, finished):
            if isinstance(item, Skip):
                yield item
                continue
            file = self._file(*item)
            if isinstance(file, Skip):
                yield file
            else:
                yield from filler.add(file)
        yield from filler.finish()

    def _items(
        self, filler: BatchFiller, finished: Container[str]
    ) -> Iterator[tuple[Entry, bytes | None] | Skip]:
        if self.archive.has_random_access:
            entries, skips = self.archive.scan()
            yield from skips
            yield from ((entry, None) for entry in entries)
            return
        yield from self.archive.stream(
            lambda name: _folder_synset(name) in self.leaves.labels and filler.key not in finished
        )

    def _file(self, entry: Entry, data: bytes | None) -> BatchFile | Skip:
        where = printable(entry.name)
        synset = _folder_synset(entry.name)
        if not synset:
            return Skip(where, NOT_IN_LAYOUT, "expected nXXXXXXXX/FILE")
        return self.leaves.files(synset).batch_file(where, entry, data)


@dataclasses.dataclass(frozen=True)
class SynsetTarFolder:
    """A folder of per-synset tars.

    Attributes:
      folder: it.
      leaves: the synsets that are labels.
    """

    folder: pathlib.Path
    leaves: Leaves
    kind: str = "folder of per-synset tars"
    can_be_shared: bool = True

    @functools.cached_property
    def _listed(self) -> ListedFolder:
        return list_folder(self.folder, "", _MAX_TAR_BYTES)

    @property
    def num_bytes(self) -> int:
        """Size of the tars."""
        return self._listed.num_bytes

    def identity(self) -> Mapping[str, object]:
        """Kind, number and size of the tars, and a digest of names, sizes and times."""
        return {
            "kind": self.kind,
            "files": len(self._listed.files),
            "num_bytes": self.num_bytes,
            "state": self._listed.state,
        }

    def synsets(self) -> list[str]:
        """The synset ids that have a tar."""
        return sorted({_synset_of(entry.name) for entry in self._listed.files} - {""})

    def units(self, finished: Container[str]) -> Iterator[NestedTar | Skip]:
        """Yields the tars by name."""
        del finished
        yield from self._listed.skips
        for entry in self._listed.files:
            key = printable(entry.name)
            synset = _synset_of(entry.name)
            if not synset:
                yield Skip(key, NOT_IN_LAYOUT, "expected tars named nXXXXXXXX.tar")
                continue
            files = self.leaves.files(synset)
            yield NestedTar(key, files, entry.size, str(self.folder / entry.name))


@dataclasses.dataclass(frozen=True)
class SynsetFolders:
    """Folders of images named by their synset, such as ImageNet-21K-P's.

    Attributes:
      root: the folder given.
      folders: those of the synsets, sorted.
      leaves: the synsets that are labels.
    """

    root: pathlib.Path
    folders: Sequence[pathlib.Path]
    leaves: Leaves
    kind: str = "a folder for each synset"
    can_be_shared: bool = True

    @functools.cached_property
    def _listed(self) -> Mapping[pathlib.Path, ListedFolder]:
        return {folder: list_folder(folder, self._name(folder)) for folder in self.folders}

    def _name(self, folder: pathlib.Path) -> str:
        return printable(folder.relative_to(self.root).as_posix())

    @property
    def num_bytes(self) -> int:
        """Size of the images."""
        return sum(listed.num_bytes for listed in self._listed.values())

    def identity(self) -> Mapping[str, object]:
        """Kind, number and size of the images, and a digest of names, sizes and times."""
        states = [(f"{self._name(path)} {item.state}", 0, 0) for path, item in self._listed.items()]
        return {
            "kind": self.kind,
            "files": sum(len(listed.files) for listed in self._listed.values()),
            "num_bytes": self.num_bytes,
            "state": digest(states),
        }

    def synsets(self) -> list[str]:
        """The synset ids that have a folder."""
        return sorted({path.name for path in self.folders})

    def units(self, finished: Container[str]) -> Iterator[FileBatch | Skip]:
        """Yields batches of images, folder by folder."""
        del finished
        yield from self._files_beside()
        for folder, listed in self._listed.items():
            yield from listed.skips
            name = self._name(folder)
            files = self.leaves.files(folder.name)
            filler = BatchFiller(name, "", str(folder))
            for entry in listed.files:
                yield from filler.add(files.batch_file(f"{name}/{printable(entry.name)}", entry))
            yield from filler.finish()

    def _files_beside(self) -> Iterator[Skip]:
        """Files that are in no synset's folder."""
        for path, folders, names in os.walk(self.root):
            depth = len(pathlib.Path(path).relative_to(self.root).parts)
            if depth < _MAX_FOLDER_DEPTH:
                folders[:] = [name for name in folders if not is_synset_id(name)]
            for name in sorted(names):
                where = (pathlib.Path(path) / name).relative_to(self.root).as_posix()
                yield Skip(printable(where), NOT_IN_LAYOUT, "expected nXXXXXXXX/FILE")


ImageNetSource = SynsetTars | ArchivedFolders | SynsetTarFolder | SynsetFolders


def find_source(folder: pathlib.Path, leaves: Leaves) -> ImageNetSource:
    """Finds ImageNet-21k in a folder, by what is in the files rather than by their names.

    Args:
      folder: manual_dir.
      leaves: the synsets that are labels.

    Raises:
      SourceError: where it is not there, or there more than once.
    """
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}; expected {EXPECTED}")
    found: list[ImageNetSource] = []
    problems: list[str] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if _synset_of(path.name):
            continue
        try:
            found += _archived(path, leaves)
        except SourceError as error:
            if archives.is_archive_name(path.name):
                problems.append(str(error))
    for candidate in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if any(_synset_of(path.name) and path.is_file() for path in candidate.iterdir()):
            found.append(SynsetTarFolder(candidate, leaves))
    if folders := _synset_folders(folder):
        found.append(SynsetFolders(folder, folders, leaves))
    if len(found) == 1:
        return found[0]
    if found:
        raise SourceError(
            f"{folder} has ImageNet-21k more than once: {[source.kind for source in found]}; leave "
            "one there, or give a folder that has one"
        )
    if problems:
        raise SourceError(problems[0])
    names = sorted(printable(path.name) for path in folder.iterdir())
    raise SourceError(f"no ImageNet-21k in {folder}, which has {names[:8]}; expected {EXPECTED}")


def _archived(path: pathlib.Path, leaves: Leaves) -> list[ImageNetSource]:
    """The layout in an archive, by the first file that decides it; empty where none does."""
    archive = archives.open_archive(path)
    for name in itertools.islice(archive.names(), _NUM_NAMES_LOOKED_AT):
        if _synset_of(name):
            return [SynsetTars(archive, leaves)]
        if _folder_synset(name):
            return [ArchivedFolders(archive, leaves)]
    return []


def _synset_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    found: list[pathlib.Path] = []
    level = [folder]
    for _ in range(_MAX_FOLDER_DEPTH):
        below = [path for parent in level for path in parent.iterdir() if path.is_dir()]
        found += [path for path in below if is_synset_id(path.name)]
        level = [path for path in below if not is_synset_id(path.name)]
    return sorted(found)


def _synset_of(name: str) -> str:
    """The synset of a path such as `winter21_whole/n02084071.tar`; empty where it names none."""
    path = pathlib.PurePosixPath(name)
    return path.stem if path.suffix == ".tar" and is_synset_id(path.stem) else ""


def _folder_synset(name: str) -> str:
    """The synset of the folder that a file is in; empty where it names none."""
    folder = pathlib.PurePosixPath(name).parent.name
    return folder if is_synset_id(folder) else ""
