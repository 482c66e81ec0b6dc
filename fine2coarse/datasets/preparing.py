"""Preparing ImageNet-21k or iNaturalist 2021 on purpose: everything but a study's first use."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from fine2coarse.datasets.imagenet21k import Imagenet21k
from fine2coarse.datasets.imagenet21k_subsets import parse_config_name
from fine2coarse.datasets.inat2021 import ARCHIVES, Inat2021
from fine2coarse.datasets.leveled import PrepareConfig
from fine2coarse.datasets.leveled_names import check_archives, check_name
from fine2coarse.datasets.preparation_claim import only_to_prepare
from fine2coarse.datasets.quiet_tfds import prepare_quietly
from fine2coarse.preparation.comparison import Comparison

_BUILDERS = {"imagenet21k": Imagenet21k, "inat2021": Inat2021}


def prepare_dataset(
    dataset: str, data_dir: str, config: PrepareConfig, file_format: str = "tfrecord"
) -> dict[str, Any]:
    """Prepares a dataset, or goes on where an earlier call was stopped.

    Args:
      dataset: 'imagenet21k' or 'inat2021', perhaps with a config, as in 'imagenet21k/level0' or
        'imagenet21k/min100_val20_level0' (see `leveled_names.with_class_rule`).
      data_dir: folder of prepared data.
      config: archives, splits, processes; where it names no splits, those of all archives.
      file_format: of the records: 'tfrecord' or 'array_record'.

    Returns:
      A summary, JSON-able: dataset, folder, the report of the preparation, seconds.

    Raises:
      UsageError: on an unknown dataset, archives that are missing or a folder in use.
      PreparationError: where it failed under way.
    """
    started = time.monotonic()
    name, level = check_name(dataset)
    check_archives(name, config.manual_dir)
    if name == "inat2021" and not config.splits:
        config = dataclasses.replace(config, splits=tuple(ARCHIVES))
    with only_to_prepare(data_dir, name, _options(name, level)):
        builder = _BUILDERS[name](config=level or None, data_dir=data_dir)
        prepare_quietly(builder, download_config=config, file_format=file_format)
    return {
        "dataset": builder.info.full_name,
        "folder": builder.data_dir,
        **dataclasses.asdict(builder.report()),
        "seconds": round(time.monotonic() - started, 1),
    }


def _options(name: str, level: str) -> Mapping[str, Any]:
    """The options of a dataset that a config's name stands for."""
    parsed = parse_config_name(level) if name == "imagenet21k" else None
    return dataclasses.asdict(parsed[0]) if parsed else {}


def summary_text(summary: Mapping[str, Any]) -> str:
    """What `prepare_dataset` returned, for people to read."""

    def counts(values: Mapping[str, int]) -> str:
        return ", ".join(f"{key} {value:,}" for key, value in values.items()) or "none"

    compared = [Comparison(**fields) for fields in summary["compared"]]
    return "\n".join(
        [
            f"{summary['dataset']} in {summary['folder']}",
            f"source      {summary['source']}, {summary['num_files']:,} files",
            *(
                f"{'compared' * (not number):11} {comparison.name}: {comparison.sentence()}"
                for number, comparison in enumerate(compared)
            ),
            f"examples    {counts(summary['splits'])}",
            f"classes     {summary['classes_seen']:,} seen of {summary['num_classes']:,}",
            f"skipped     {counts(summary['skipped'])}",
            f"transcoded  {counts(summary['transcoded'])}",
            f"duplicates  {summary['duplicate_files']:,} files in "
            f"{summary['duplicate_groups']:,} groups",
            f"seconds     {summary['seconds']}",
        ]
    )
