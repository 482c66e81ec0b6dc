"""Finds iNaturalist 2021's archives in a folder, under their own names or other usual ones."""

from __future__ import annotations

import collections
import logging
import pathlib
import re
from collections.abc import Iterable, Mapping

from fine2coarse.archives.archives import SourceError, printable

_log = logging.getLogger(__name__)

_IMAGE_SUFFIXES = (*(".tar.gz", ".tar", ".tgz", ".zip", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"),)
_JSON_SUFFIXES = (".json", ".json.tar.gz", ".json.tgz", ".json.gz", ".json.tar", ".json.zip")
_OWN_SUFFIXES = {"images": (".tar.gz", ".tar"), "annotations": (".json", ".json.tar.gz")}
"""Of the competition's own names, and of what they become when unpacked; the first is taken."""
_NAMES = {
    "train": "train",
    "train_mini": "train_mini",
    "trainmini": "train_mini",
    "mini": "train_mini",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "public_test",
    "public_test": "public_test",
}
"""What is left of a file's name → the archive's name."""
_COPY_MARK = re.compile(r"([ _-]*\(\d+\)|-\d+|[ _-]+copy)$")  # of a second download
_AFFIXES = re.compile(r"^(inaturalist|inat|2021|[ _.-])+|([ _.-]|images|annotations|2021|inat)+$")
_NOTES = (".txt", ".md", ".tsv", ".csv", ".log", ".pdf", ".md5", ".sha256")
_NUM_NAMES_TOLD = 8


def find_manual_files(
    folder: pathlib.Path, archive_of: Mapping[str, str]
) -> dict[str, dict[str, pathlib.Path]]:
    """The images and annotations of splits that the user has already.

    Images may be NAME.tar.gz, NAME.tar or a folder NAME; annotations NAME.json.tar.gz or
    NAME.json. Other usual names, such as NAME.tgz, NAME.zip, `NAME (1).tar.gz` or
    inat2021_NAME.tar.gz, are taken too, and logged.

    Args:
      folder: manual_dir.
      archive_of: split → NAME.

    Returns:
      Split → 'images' and 'annotations', where they are there → path. A folder of images is
      `folder` itself: the annotations' file names begin with the archive's name.

    Raises:
      SourceError: where there is no such folder; where a name fits several files; where something
        is missing, and there are files that are not recognised: it may be among them.
    """
    if not folder.is_dir():
        raise SourceError(f"no folder {folder}; leave manual_dir out to download the archives")
    usual, unknown = _recognised(folder)
    found: dict[str, dict[str, pathlib.Path]] = {}
    for split, name in archive_of.items():
        found[split] = {}
        for part in _OWN_SUFFIXES:
            path = _own_name(folder, name, part)
            path = path or _usual_name(folder, usual[name, part], name, part)
            if path is not None:
                found[split][part] = path
    missing = [
        f"{archive_of[split]}{suffix}"
        for split, parts in found.items()
        for part, suffix in (("images", ".tar.gz"), ("annotations", ".json.tar.gz"))
        if part not in parts
    ]
    if missing and unknown:
        raise SourceError(
            f"{folder} has {_listed(unknown)}, not recognised, and no "
            f"{_listed(missing)}, which would be downloaded. Rename what is there to those names, "
            "move it away to download them, or give the splits that are there with --splits"
        )
    return found


def _own_name(folder: pathlib.Path, name: str, part: str) -> pathlib.Path | None:
    """A file of the competition's own name, or the folder that it was unpacked to."""
    for suffix in _OWN_SUFFIXES[part]:
        if (folder / f"{name}{suffix}").is_file():
            return folder / f"{name}{suffix}"
    return folder if part == "images" and (folder / name).is_dir() else None


def _usual_name(
    folder: pathlib.Path, paths: list[pathlib.Path], name: str, part: str
) -> pathlib.Path | None:
    """The only file of another usual name."""
    if len(paths) > 1:
        raise SourceError(
            f"{folder} has {_listed(path.name for path in paths)}: each may be the {part} of "
            f"{name}; rename the right one to {name}{_OWN_SUFFIXES[part][0]}, or leave one there"
        )
    if not paths:
        return None
    _log.info("%s is taken for the %s of %s", paths[0], part, name)
    return paths[0]


def _recognised(
    folder: pathlib.Path,
) -> tuple[Mapping[tuple[str, str], list[pathlib.Path]], list[str]]:
    """The files of a folder by archive's name and part, and the names of those that fit none."""
    usual: dict[tuple[str, str], list[pathlib.Path]] = collections.defaultdict(list)
    unknown: list[str] = []
    for path in sorted(folder.iterdir()):
        name, part = archive_and_part(path.name) if path.is_file() else (path.name, "")
        if part:
            usual[name, part].append(path)
        elif not _is_beside(path):
            unknown.append(path.name)
    return usual, unknown


def _is_beside(path: pathlib.Path) -> bool:
    """Whether something is clearly none of the archives: notes, hidden files, other folders."""
    if path.name.startswith(".") or path.name.lower().endswith(_NOTES):
        return True
    if not path.is_dir() or path.name in _NAMES.values():
        return path.is_dir()
    inside = [child.name for child in path.iterdir()]
    return not _archive_of(path.name) and not any(
        name in _NAMES.values() or archive_and_part(name)[0] for name in inside
    )


def _archive_of(stem: str) -> str:
    """The archive's name in a file's name without its suffix; empty where there is none."""
    return _NAMES.get(_AFFIXES.sub("", _COPY_MARK.sub("", stem.lower())).replace("-", "_"), "")


def archive_and_part(file_name: str) -> tuple[str, str]:
    """The archive's name and the part ('images' or 'annotations') of a file; empty where unknown.

    `train (1).tar.gz` and `inat2021_train.tgz` are the images of train; `train_mini.json` and
    `2021_train_mini-1.json.tar.gz` the annotations of train_mini.
    """
    lower = file_name.lower()
    for part, suffixes in (("annotations", _JSON_SUFFIXES), ("images", _IMAGE_SUFFIXES)):
        for suffix in sorted(suffixes, key=len, reverse=True):
            if not lower.endswith(suffix):
                continue
            stem = _COPY_MARK.sub("", lower.removesuffix(suffix))
            if part == "images" and stem.endswith(".json"):
                part, stem = "annotations", stem.removesuffix(".json")  # train.json (1).tar.gz
            name = _archive_of(stem)
            return (name, part) if name else ("", "")
    return "", ""


def _listed(names: Iterable[str]) -> str:
    """Some names, listed for people to read."""
    texts = [printable(name) for name in names]
    more = len(texts) - _NUM_NAMES_TOLD
    return ", ".join(texts[:_NUM_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")
