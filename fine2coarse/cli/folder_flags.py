"""Flags that say where things lie: a study's or run's folder, prepared data."""

from __future__ import annotations

import os
import pathlib

from fine2coarse.cli.path_flags import define_path

WORKDIR = define_path("workdir", None, "Folder of this study or run.")
DATA_DIR = define_path(
    "data_dir", None, "Folder of prepared data; default: TFDS_DATA_DIR, or `data` in --workdir."
)


def data_folder() -> str:
    """Where prepared data lies: of --data_dir, TFDS_DATA_DIR, or `data` in --workdir."""
    default = f"{(WORKDIR.value or '.').rstrip('/')}/data"
    return DATA_DIR.value or os.environ.get("TFDS_DATA_DIR") or default


def given_data_folders() -> tuple[pathlib.Path, ...]:
    """Folders of prepared data that a flag or the environment names."""
    given = (DATA_DIR.value, os.environ.get("TFDS_DATA_DIR"))
    return tuple(pathlib.Path(folder) for folder in given if folder)
