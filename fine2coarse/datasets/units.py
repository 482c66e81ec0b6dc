"""What a preparation reads: a source, cut into units of work that a worker handles whole."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
from collections.abc import Container, Iterator, Mapping
from typing import BinaryIO, Protocol

from fine2coarse.datasets.archives import FileSlice, Member, Skip, iterate_tar

UNKNOWN_SYNSET = "unknown synset"
NO_LEAF = "synset is no leaf"


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """One image file of a source.

    Attributes:
      name: where it stands in the source, for the log.
      image_id: unique among the split's images.
      label: leaf label.
      data: the file's bytes.
      features: further features of the example.
      num_files: 1, as of a `Skip` of one file.
    """

    name: str
    image_id: str
    label: int
    data: bytes
    features: Mapping[str, object] = dataclasses.field(default_factory=dict)
    num_files: int = 1


class Unit(Protocol):
    """A part of a source that one worker reads in one go; it travels to it by pickle.

    Attributes:
      key: unique in the source, the same whenever the source is read.
      split: of its images; empty where the split is told by the image.
      num_source_bytes: about how much of the source it takes, for the progress bar.
    """

    key: str
    split: str
    num_source_bytes: int

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields every file in the unit, as an image or with the reason why it is none."""
        ...


class Source(Protocol):
    """Where images come from.

    Attributes:
      kind: its layout in words.
      num_bytes: of the archives or folders.
      can_be_shared: whether units can be read on their own (so that a cluster can share them).
    """

    kind: str
    num_bytes: int
    can_be_shared: bool

    def identity(self) -> Mapping[str, object]:
        """JSON-able; a preparation goes on only where it is the same as when it began."""
        ...

    def units(self, finished: Container[str]) -> Iterator[Unit | Skip]:
        """Yields the units in the source's order, and skips of what is in no unit.

        Args:
          finished: keys of units that are done: they are yielded too, but need not be readable.
        """
        ...


@dataclasses.dataclass(frozen=True)
class SynsetFiles:
    """Reads the images of one synset; shared by the units below.

    Attributes:
      synset: its id.
      label: its leaf label; -1 where it is no leaf, and all its images are skipped.
      is_known: whether the taxonomy's table has it, leaf or not.
    """

    synset: str
    label: int
    is_known: bool

    def image(self, name: str, where: str, data: bytes) -> SourceImage | Skip:
        """One file of the synset."""
        if self.label < 0:
            if self.is_known:
                return Skip(where, NO_LEAF, f"{self.synset} is a synset, but none of the leaves")
            return Skip(where, UNKNOWN_SYNSET, f"{self.synset} is in no path of the taxonomy")
        return SourceImage(where, image_id(self.synset, name), self.label, data)


def image_id(synset: str, name: str) -> str:
    """The file name where it names the synset, as ImageNet's do; else with the synset before."""
    base = name.rsplit("/", 1)[-1].encode("utf-8", "backslashreplace").decode()
    return base if base.startswith(f"{synset}_") else f"{synset}/{base}"


@dataclasses.dataclass(frozen=True)
class NestedTar:
    """A synset's tar: a stretch of a larger file, or bytes already read from a stream.

    Attributes:
      key: its name in the archive.
      files: the synset.
      num_source_bytes: its size.
      path: the file it lies in.
      offset: where in the file it begins.
      data: its bytes instead of a path; None where it is hollow or to be read from `path`.
      split: always empty.
    """

    key: str
    files: SynsetFiles
    num_source_bytes: int
    path: str = ""
    offset: int = 0
    data: bytes | None = None
    split: str = ""

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields its images."""
        if self.data is not None:
            yield from self._read_stream(io.BytesIO(self.data))
            return
        with pathlib.Path(self.path).open("rb", buffering=1 << 20) as file:
            yield from self._read_stream(FileSlice(file, self.offset, self.num_source_bytes))

    def _read_stream(self, stream: BinaryIO) -> Iterator[SourceImage | Skip]:
        for member in iterate_tar(stream, self.key):
            if isinstance(member, Member):
                where = f"{self.key}/{member.name}"
                yield self.files.image(member.name, where, member.data)
            else:
                yield member


@dataclasses.dataclass(frozen=True)
class SynsetFolder:
    """A folder of a synset's images.

    Attributes:
      key: its path below the source's folder.
      files: the synset.
      path: where it lies.
      num_source_bytes: size of its files.
      split: always empty.
    """

    key: str
    files: SynsetFiles
    path: str
    num_source_bytes: int
    split: str = ""

    def read(self) -> Iterator[SourceImage | Skip]:
        """Yields its images by file name."""
        for path in sorted(pathlib.Path(self.path).iterdir()):
            if path.is_file() and not path.is_symlink():
                yield self.files.image(path.name, f"{self.key}/{path.name}", path.read_bytes())
            elif not path.is_dir() or path.is_symlink():
                yield Skip(f"{self.key}/{path.name}", "not a regular file", "a link or a device")


def same_identity(one: Mapping, other: Mapping) -> bool:
    """Whether two identities say the same, once each is JSON."""
    return json.loads(json.dumps(one)) == json.loads(json.dumps(other))
