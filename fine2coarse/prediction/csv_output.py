"""Predictions as CSV, in a file or on standard output."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from fine2coarse.errors import FailedError
from fine2coarse.files import replacing
from fine2coarse.formats import counted
from fine2coarse.prediction.image_passes import BATCH_SIZE, Unreadable
from fine2coarse.prediction.loaded_model import LoadedModel
from fine2coarse.prediction.records import csv_text
from fine2coarse.preparation.image_files import ImageFile

_log = logging.getLogger(__name__)


def write_predictions(
    model: LoadedModel,
    files: Sequence[ImageFile],
    out: str | os.PathLike | None,
    *,
    top: int = 5,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Classifies files and writes a row for each, a batch at a time.

    Args:
      model: that classifies.
      files: any number.
      out: CSV file, written whole; None for standard output, row by row.
      top: classes told of each image.
      batch_size: images at once.

    Raises:
      FailedError: where images cannot be read; the rows of all others are written.
      RunError: of an export without its head.
      UsageError: where `top` is below 1.
    """
    unreadable: list[Unreadable] = []
    names = model.columns(top)
    batches = model.rows(files, top, unreadable, batch_size)
    first = next(batches, [])  # an export without its head ends here, before the header
    with _opened(out) as file:
        file.write(csv_text([], names, header=True))
        for rows in itertools.chain([first], batches):
            file.write(csv_text(rows, names, header=False))
            file.flush()
    if out:
        _log.info("wrote %s: %s", out, counted(len(files) - len(unreadable), "row"))
    if unreadable:
        for one in unreadable:
            _log.warning("%s", one)
        raise FailedError(
            f"{len(unreadable):,} of {counted(len(files), 'image')} cannot be read, named above; "
            "all others have their row"
        )


@contextlib.contextmanager
def _opened(out: str | os.PathLike | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    path = pathlib.Path(out)
    with (
        replacing(path) as partial,
        partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file
