"""The folder of an export: nothing in it loads before all of it is there."""

from __future__ import annotations

import gzip
import os
import pathlib
import shutil
import tarfile
import uuid

import tensorflow as tf

from fine2coarse.export.reusable import ReusableModel
from fine2coarse.files import replacing, write_atomic
from fine2coarse.hub.resolve import SAVED_MODEL, HubError

_UNFINISHED = SAVED_MODEL + ".incomplete"


class ExportFolder:
    """A folder that becomes a SavedModel at one moment: when `saved_model.pb` gets its name.

    Until then a file `saved_model.pb.incomplete` lies there. It is made first, so that a later
    export knows what a killed one left and clears it away.

    Args:
      path: the folder; new, empty, or left by a killed export.

    Raises:
      HubError: where it holds anything else, or cannot be made.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = pathlib.Path(path)
        check_free(self.path)
        try:
            if (self.path / _UNFINISHED).exists():
                shutil.rmtree(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / _UNFINISHED).touch()
        except OSError as error:
            raise HubError(f"cannot write to {self.path}: {error.strerror}") from error

    def write_text(self, name: str, text: str) -> None:
        """Writes one text file."""
        write_atomic(self.path / name, text)

    def write_saved_model(self, model: ReusableModel) -> None:
        """Writes the SavedModel. Call last: with its end the folder loads."""
        # In memory first, as TensorFlow gives the file its final name while others are missing.
        memory = f"ram://{uuid.uuid4().hex}"
        try:
            tf.saved_model.save(model.root, memory, signatures=model.signatures)
            for name in _files_below(memory):
                if name != SAVED_MODEL:
                    _copy(f"{memory}/{name}", self.path / name)
            _copy(f"{memory}/{SAVED_MODEL}", self.path / SAVED_MODEL)
            (self.path / _UNFINISHED).unlink()
        finally:
            if tf.io.gfile.exists(memory):
                tf.io.gfile.rmtree(memory)


def check_free(path: pathlib.Path) -> None:
    """Raises HubError where an export may not go to a folder."""
    if not path.exists():
        return
    if not path.is_dir():
        raise HubError(f"{path} is a file; expected the name of a new folder")
    if (path / SAVED_MODEL).exists():
        raise HubError(f"{path} holds a SavedModel already; choose another folder or remove it")
    if any(path.iterdir()) and not (path / _UNFINISHED).exists():
        raise HubError(f"{path} is not empty; expected the name of a new folder")


def write_archive(folder: pathlib.Path) -> pathlib.Path:
    """Packs a folder as TF Hub serves them: a .tar.gz beside it whose root is the folder's inside.

    The same content gives the same bytes: members are sorted, without times and owners.

    Returns:
      The archive's path.
    """
    archive = folder.with_name(folder.name + ".tar.gz")
    with (
        replacing(archive) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_anonymous)
    return archive


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _files_below(root: str) -> list[str]:
    found = []
    for folder, _, names in tf.io.gfile.walk(root):
        inside = folder.removeprefix(root).strip("/")
        found += [f"{inside}/{name}".lstrip("/") for name in names]
    return found


def _copy(source: str, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        tf.io.gfile.copy(source, os.fsencode(partial))  # its name need not be UTF-8
