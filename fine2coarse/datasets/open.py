"""Opening a dataset by name: prepared on first use where it can be, checked, with its taxonomy."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow_datasets as tfds

from fine2coarse.datasets.demo import Demo, DemoConfig
from fine2coarse.datasets.folder import FolderConfig, FolderError, LabelledFolder, read_taxonomy
from fine2coarse.datasets.prepared import DatasetError, PreparedDataset


def open_dataset(name: str, options: Mapping[str, Any], data_dir: str) -> PreparedDataset:
    """Opens a dataset, preparing it first where that has not been done.

    Args:
      name: one of `dataset_names()`.
      options: what that dataset takes, e.g. `source` for 'folder'.
      data_dir: where prepared data lies.

    Raises:
      DatasetError: on an unknown name or option, or data that cannot be prepared.
    """
    if name not in _OPENERS:
        close = difflib.get_close_matches(name, _OPENERS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise DatasetError(
            f"unknown dataset {name!r}{hint} There are: {', '.join(dataset_names())}"
        )
    try:
        builder = _OPENERS[name](dict(options), data_dir)
    except TypeError as error:
        raise DatasetError(f"dataset {name!r} does not take these options: {error}") from error
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder.download_and_prepare()
    return PreparedDataset(builder, builder.taxonomy)


def dataset_names() -> tuple[str, ...]:
    """Names that `open_dataset` accepts."""
    return tuple(sorted(_OPENERS))


def _demo(options: dict[str, Any], data_dir: str) -> tfds.core.DatasetBuilder:
    name = f"custom-{_digest(options)}" if options else "default"
    return Demo(config=DemoConfig(name=name, **options), data_dir=data_dir)


def _folder(options: dict[str, Any], data_dir: str) -> tfds.core.DatasetBuilder:
    source = options.get("source")
    if not source:
        raise FolderError("dataset 'folder' needs `source`: an image folder or a tar of one")
    source = os.path.realpath(source)
    name = options.pop("name", None) or f"folder-{_digest(source)}"
    config = FolderConfig(name=name, **{**options, "source": source})
    builder = LabelledFolder(config=config, data_dir=data_dir)
    if builder.taxonomy.fingerprint != read_taxonomy_fingerprint(source):
        raise FolderError(
            f"{source}: its taxonomy.csv changed since {builder.data_dir} was prepared; "
            "give the dataset another `name` or remove that folder"
        )
    return builder


def read_taxonomy_fingerprint(source: str) -> str:
    """Fingerprint of a source's taxonomy.csv as it is now."""
    return read_taxonomy(pathlib.Path(source)).fingerprint


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:10]


_OPENERS: Mapping[str, Callable[[dict[str, Any], str], tfds.core.DatasetBuilder]] = {
    "demo": _demo,
    "folder": _folder,
}
