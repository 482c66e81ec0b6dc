"""ImageNet-21k as people have it on disk: four layouts, told apart by looking."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Container, Iterator, Mapping, Sequence

from fine2coarse.datasets import archives
from fine2coarse.datasets.archives import Member, Skip, SourceError
from fine2coarse.datasets.units import NestedTar, SynsetFiles, SynsetFolder
from fine2coarse.taxonomy.wordnet import is_synset_id

EXPECTED = """\
one of these, in the folder given as manual_dir:
  * fall11_whole.tar: a tar of per-synset tars (nXXXXXXXX.tar);
  * winter21_whole.tar.gz: the same, gzipped;
  * a folder of per-synset tars;
  * ImageNet-21K-P's folders: imagenet21k_train/nXXXXXXXX/*.JPEG and imagenet21k_val/..."""

NOT_IN_LAYOUT = "not part of the layout"
_MAX_FOLDER_DEPTH = 3


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
        """What reads a synset's files."""
        return SynsetFiles(synset, self.labels.get(synset, -1), synset in self.known)


@dataclasses.dataclass(frozen=True)
class SynsetTars:
    """A tar of per-synset tars, plain or gzipped.

    Attributes:
      path: the outer archive.
      is_gzipped: whether it is a stream that can be read from its beginning only.
      leaves: the synsets that are labels; others are skipped.
    """

    path: pathlib.Path
    is_gzipped: bool
    leaves: Leaves

    @property
    def kind(self) -> str:
        """In words."""
        return f"tar of per-synset tars{', gzipped' * self.is_gzipped}"

    @property
    def num_bytes(self) -> int:
        """Size of the archive."""
        return self.path.stat().st_size

    @property
    def can_be_shared(self) -> bool:
        """Whether workers can read parts of it on their own."""
        return not self.is_gzipped

    def identity(self) -> Mapping[str, object]:
        """Kind, name and size."""
        return {"kind": self.kind, "name": self.path.name, "num_bytes": self.num_bytes}

    def synsets(self) -> list[str]:
        """The synset ids that have a tar in it, sorted; a gzipped archive is read to the end."""
        members = self._members(lambda name: False)
        names = [item.name for item in members if isinstance(item, Member)]
        return sorted(set(map(_synset_of, names)) - {""})

    def units(self, finished: Container[str]) -> Iterator[NestedTar | Skip]:
        """Yields the synsets' tars in the archive's order.

        Raises:
          SourceError: where the outer archive is cut off; a plain one says so at the start.
        """
        if self.is_gzipped:
            items = self._members(lambda name: bool(_synset_of(name)) and name not in finished)
        else:
            items = iter(list(self._members(lambda name: False)))
        for item in items:
            yield item if isinstance(item, Skip) else self._unit(item)

    def _members(self, wants_data: Callable[[str], bool]) -> Iterator[Member | Skip]:
        with archives.open_tar(self.path) as file:
            for item in archives.iterate_tar(
                file, "", wants_data=wants_data, seekable=not self.is_gzipped
            ):
                if isinstance(item, Skip) and item.reason == archives.CUT_OFF:
                    raise SourceError(
                        f"{self.path} is cut off or damaged ({item.detail}): get it again"
                    )
                yield item

    def _unit(self, item: Member) -> NestedTar | Skip:
        synset = _synset_of(item.name)
        if not synset:
            return Skip(item.name, NOT_IN_LAYOUT, "expected tars named nXXXXXXXX.tar")
        files = self.leaves.files(synset)
        path = "" if self.is_gzipped else str(self.path)
        return NestedTar(item.name, files, item.size, path, item.offset, item.data)


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

    def _paths(self) -> list[pathlib.Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())

    @property
    def num_bytes(self) -> int:
        """Size of the tars."""
        return sum(path.stat().st_size for path in self._paths())

    def identity(self) -> Mapping[str, object]:
        """Kind, number and size of the tars."""
        return {"kind": self.kind, "files": len(self._paths()), "num_bytes": self.num_bytes}

    def synsets(self) -> list[str]:
        """The synset ids that have a tar."""
        return sorted({_synset_of(path.name) for path in self._paths()} - {""})

    def units(self, finished: Container[str]) -> Iterator[NestedTar | Skip]:
        """Yields the tars by name."""
        for path in self._paths():
            synset = _synset_of(path.name)
            if not synset:
                yield Skip(path.name, NOT_IN_LAYOUT, "expected tars named nXXXXXXXX.tar")
                continue
            files = self.leaves.files(synset)
            yield NestedTar(path.name, files, path.stat().st_size, str(path))


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

    @property
    def num_bytes(self) -> int:
        """Size of the images."""
        return sum(unit.num_source_bytes for unit in self.units(()))

    def identity(self) -> Mapping[str, object]:
        """Kind and the folders' names."""
        names = [path.relative_to(self.root).as_posix() for path in self.folders]
        return {"kind": self.kind, "folders": names}

    def synsets(self) -> list[str]:
        """The synset ids that have a folder."""
        return sorted({path.name for path in self.folders})

    def units(self, finished: Container[str]) -> Iterator[SynsetFolder]:
        """Yields the folders by their paths."""
        for folder in self.folders:
            yield SynsetFolder(
                folder.relative_to(self.root).as_posix(),
                self.leaves.files(folder.name),
                str(folder),
                sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
            )


def find_source(
    folder: pathlib.Path, leaves: Leaves
) -> SynsetTars | SynsetTarFolder | SynsetFolders:
    """Finds ImageNet-21k in a folder, by what is in the files rather than by their names.

    Args:
      folder: manual_dir.
      leaves: the synsets that are labels.

    Raises:
      SourceError: where it is not there, or there more than once.
    """
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}; expected {EXPECTED}")
    found: list[SynsetTars | SynsetTarFolder | SynsetFolders] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if not _synset_of(path.name) and archives.is_tar(path):
            inner = archives.first_file(path)
            if inner.endswith(".tar"):
                found.append(SynsetTars(path, archives.is_gzip(path), leaves))
    for candidate in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if any(_synset_of(path.name) and path.is_file() for path in candidate.iterdir()):
            found.append(SynsetTarFolder(candidate, leaves))
    if folders := _synset_folders(folder):
        found.append(SynsetFolders(folder, folders, leaves))
    if len(found) == 1:
        return found[0]
    if not found:
        names = sorted(path.name for path in folder.iterdir())
        raise SourceError(
            f"no ImageNet-21k in {folder}, which has {names[:8]}; expected {EXPECTED}"
        )
    raise SourceError(
        f"{folder} has ImageNet-21k more than once: {[source.kind for source in found]}; leave one "
        "there, or give a folder that has one"
    )


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
