"""Thumbnails beside a study, so that a report remade elsewhere still shows its images."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Callable, Mapping, Sequence

from fine2coarse.files import write_atomic

FOLDER = "thumbnails"
# Image ids → JPEG files of those that can be read.
ReadImages = Callable[[Sequence[str]], Mapping[str, bytes]]


def find(workdirs: Sequence[pathlib.Path], image_id: str) -> pathlib.Path | None:
    """The stored thumbnail of an image; None where no study has it."""
    places = (workdir / FOLDER / _file_name(image_id) for workdir in workdirs)
    return next((place for place in places if place.is_file()), None)


def store(
    workdir: pathlib.Path,
    workdirs: Sequence[pathlib.Path],
    image_ids: Sequence[str],
    read_images: ReadImages,
) -> None:
    """Writes into `workdir` the thumbnails that no study has yet, each whole or not at all."""
    missing = [image_id for image_id in image_ids if find(workdirs, image_id) is None]
    if not missing:
        return
    folder = workdir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for image_id, content in read_images(missing).items():
        write_atomic(folder / _file_name(image_id), content)


def _file_name(image_id: str) -> str:
    """Ids may hold slashes and more than a file name may."""
    return hashlib.sha256(image_id.encode()).hexdigest()[:24] + ".jpg"
