"""TFDS without what it says on its way: results alone go to standard output."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

_log = logging.getLogger(__name__)


def prepare_quietly(builder: tfds.core.DatasetBuilder, **settings: Any) -> None:
    """Calls `builder.download_and_prepare`; what is prepared, and where, is logged instead.

    Args:
      builder: of any dataset.
      **settings: of that call.
    """
    if not builder.is_prepared():
        size = builder.info.download_size
        told = f"; {size} to download" if size else ""
        _log.info("preparing %s in %s%s", builder.name, builder.data_path, told)
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(**settings)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Holds TFDS's warnings back: that a config is no named one, that a folder is not there yet."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
