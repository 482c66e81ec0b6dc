"""Image files as a user names them: single files, and folders with all that lies below them.

Files are recognised by content, not by name, as in the preparation of a folder of photographs.
Imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence

from fine2coarse.archives.archives import SourceError
from fine2coarse.archives.entries import printable
from fine2coarse.archives.file_tree import FolderTree, is_hidden
from fine2coarse.archives.magic import archive_kind
from fine2coarse.formats import counted
from fine2coarse.nearest import nearest
from fine2coarse.paths import expand
from fine2coarse.preparation.image_format import HEAD_BYTES, READ_FORMATS, image_format

PathLike = str | os.PathLike
_NUM_NAMES_TOLD = 3


class ImageFilesError(SourceError):
    """Files that are named as images and are none."""


class _NoImage(ImageFilesError):
    """A file that is there, and is no image."""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """A file that begins as an image does; whether it can be decoded is not known yet.

    Attributes:
      path: where it lies.
      name: the path as people read it: as it was given, or the folder as it was given with the
        path below.
      image_id: of one in a folder its path below that, as a prepared folder names its images; of
        one that was named by itself its name.
    """

    path: pathlib.Path
    name: str
    image_id: str


@dataclasses.dataclass(frozen=True)
class FoundImages:
    """What some paths name.

    Attributes:
      images: in the order of the paths, those of a folder by name; no file twice.
      hidden: names of hidden files in folders, which are passed over.
      others: names of files that are no images.
    """

    images: Sequence[ImageFile]
    hidden: Sequence[str]
    others: Sequence[str]

    @property
    def passed_over(self) -> str:
        """What is not looked at, in words; empty where there is nothing."""
        parts = [
            f"{counted(len(names), what)}{_such_as(names)}"
            for names, what in (
                (self.hidden, "hidden file"),
                (self.others, "file that is no image"),
            )
            if names
        ]
        return " and ".join(parts).replace("file that is no images", "files that are no images")


def find_images(paths: PathLike | Iterable[PathLike], *, pass_over: bool = False) -> FoundImages:
    """Finds the images that paths name; of each file the first bytes alone are read.

    Args:
      paths: of files and folders, or one of these; `~` and variables are expanded. Folders are
        gone through to their ends.
      pass_over: files that are named and are no image, as by `photos/*`, where others are.

    Raises:
      ImageFilesError: where there is no such path, a folder holds no image, or no file is one.
      PathError: where a path names a variable that is not set.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise ImageFilesError("no images are named; give files, or folders that hold them")
    found, hidden, others = [], [], []
    refused: list[_NoImage] = []
    for one in given:
        path = pathlib.Path(expand(os.fspath(one)))
        if path.is_dir():
            _look_through(path, found, hidden, others)
        else:
            try:
                found.append(_named(path))
            except _NoImage as error:
                refused.append(error)
                others.append(printable(os.fspath(path)))
    if refused and not (pass_over and found):
        raise refused[0]
    once: dict[pathlib.Path, ImageFile] = {}
    for image in found:
        once.setdefault(image.path.absolute(), image)
    return FoundImages(list(once.values()), hidden, others)


def _look_through(
    folder: pathlib.Path, found: list[ImageFile], hidden: list[str], others: list[str]
) -> None:
    """Adds what lies below a folder."""
    tree = FolderTree(folder)
    listing = tree.list_files()
    images = []
    for file in listing.files:
        path = tree.path_of(file)
        name = printable(os.fspath(folder / file.name))
        if is_hidden(file.name):
            hidden.append(name)
        elif _may_be_image(path):
            images.append(ImageFile(path, name, image_id(pathlib.PurePosixPath(file.name).parts)))
        else:
            others.append(name)
    for skip in listing.skips:
        (hidden if is_hidden(skip.name) else others).append(
            printable(os.fspath(folder / skip.name))
        )
    if not images:
        there = FoundImages([], hidden, others).passed_over or "nothing at all"
        raise ImageFilesError(
            f"{folder}: no image in this folder or below it, but {there}; expected "
            f"{_formats()}, recognised by content"
        )
    found += images


def _named(path: pathlib.Path) -> ImageFile:
    """A file that was named by itself."""
    if not path.exists():
        siblings = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        close = path.with_name(nearest(path.name, siblings) or path.name)
        usable = close.is_dir() or (close.is_file() and image_format(_head(close)))
        hint = f"; did you mean {close}?" if usable else ""
        raise ImageFilesError(f"{path}: no such file or folder{hint}")
    head = _head(path)
    if not head:
        raise _NoImage(f"{path} is an empty file; expected an image")
    if not image_format(head):
        raise _NoImage(f"{path} is no image{_what(path)}; expected {_formats()}")
    return ImageFile(path, printable(os.fspath(path)), image_id((path.name,)))


def _may_be_image(path: pathlib.Path) -> bool:
    """Whether a file begins as an image does, or cannot be opened, which is told later."""
    try:
        return bool(image_format(_head(path)))
    except OSError:
        return True


def _head(path: pathlib.Path) -> bytes:
    if not path.is_file():  # a pipe would be waited for
        raise ImageFilesError(f"{path} is a device, pipe or socket; expected a file or a folder")
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _what(path: pathlib.Path) -> str:
    """What else a file is, and what to do then."""
    try:
        return f" but a {archive_kind(path)}: unpack it and give the folder"
    except SourceError:
        return ""


def _formats() -> str:
    *first, last = READ_FORMATS
    return f"{', '.join(first)} or {last}"


def _such_as(names: Sequence[str]) -> str:
    told = ", ".join(names[:_NUM_NAMES_TOLD])
    return f" ({told}{', …' if len(names) > _NUM_NAMES_TOLD else ''})"


def image_id(parts: Sequence[str]) -> str:
    """A file's path as image id: in one Unicode form, whatever system wrote the names.

    Args:
      parts: of the path below the folder of the photographs.
    """
    text = "/".join(parts).encode("utf-8", "backslashreplace").decode()
    return unicodedata.normalize("NFC", text)
