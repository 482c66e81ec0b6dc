"""Prepares a dataset: checks every image, writes TFDS records, goes on where it was stopped.

    python launch/prepare.py --dataset=imagenet21k --manual_dir=archives --data_dir=data
    python launch/prepare.py --dataset=imagenet21k/present_level0 --manual_dir=archives \\
        --data_dir=data --num_workers=8 --summary=summary.json
    python launch/prepare.py --dataset=inat2021 --data_dir=data --splits=mini,val
    python launch/prepare.py --dataset=imagenet21k --manual_dir=/nfs/archives \\
        --data_dir=/nfs/data --runner=beam -- --runner=FlinkRunner --flink_master=host:8081
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import time
import uuid
from collections.abc import Mapping, Sequence

from absl import app, flags, logging

from fine2coarse.cli.path_flags import define_path, fail, parse_flags
from fine2coarse.cli.startup import start_tensorflow
from fine2coarse.taxonomy.inat2021 import LEVELS
from fine2coarse.taxonomy.wordnet import NUM_LEVELS

_HOPS = [f"level{hops}" for hops in range(NUM_LEVELS)]
CONFIGS: Mapping[str, Sequence[str]] = {
    "imagenet21k": (*_HOPS, *(f"present_{level}" for level in _HOPS)),
    "inat2021": LEVELS,
}
"""Datasets and their configs; any level of one prepares the leaves, which all levels share."""

_DATASET = flags.DEFINE_string(
    "dataset", None, f"One of {', '.join(CONFIGS)}; or with a config, as in imagenet21k/level0."
)
_MANUAL_DIR = define_path("manual_dir", None, "Folder of archives that you have.")
_DATA_DIR = define_path("data_dir", None, "Folder of all TFDS datasets.")
_SPLITS = flags.DEFINE_list("splits", None, "Splits to prepare; all where absent (inat2021).")
_NUM_VALIDATION = flags.DEFINE_integer(
    "num_validation", None, "Images to hold out (imagenet21k); 102,400 at full scale where absent."
)
_NUM_WORKERS = flags.DEFINE_integer("num_workers", 1, "Processes.", lower_bound=1)
_FILE_FORMAT = flags.DEFINE_enum(
    "file_format", "tfrecord", ["tfrecord", "array_record"], "Format of the records."
)
_SUMMARY = define_path("summary", None, "File for the summary, as JSON.")
_RUNNER = flags.DEFINE_enum(
    "runner", "local", ["local", "beam"], "Processes of this machine, or Beam; its options after --"
)
_IGNORE_DISK = flags.DEFINE_bool(
    "ignore_disk_space", False, "Begin even where the disk looks too small."
)


def _check_flags(argv: list[str]) -> None:
    name, _, config = (_DATASET.value or "").partition("/")
    if name not in CONFIGS:
        raise app.UsageError(f"--dataset is one of {', '.join(CONFIGS)}; got {_DATASET.value}")
    if config and config not in CONFIGS[name]:
        raise app.UsageError(f"{name} has no {config!r}; it has {', '.join(CONFIGS[name])}")
    if _DATA_DIR.value is None:
        raise app.UsageError("--data_dir=FOLDER says where the prepared datasets go")
    if _MANUAL_DIR.value is None and _DATASET.value.startswith("imagenet21k"):
        raise app.UsageError("imagenet21k needs --manual_dir=FOLDER with the archives you have")
    if _RUNNER.value == "local" and len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}; Beam's go with --runner=beam")
    if _MANUAL_DIR.value is not None and not pathlib.Path(_MANUAL_DIR.value).is_dir():
        raise app.UsageError(f"--manual_dir: no folder {_MANUAL_DIR.value}")


def _beam_options(argv: list[str]):
    if _RUNNER.value != "beam":
        return None
    try:
        from apache_beam.options import pipeline_options
    except ImportError:
        fail("--runner=beam needs Beam: pip install apache-beam")
    return pipeline_options.PipelineOptions(argv[1:])


def _splits() -> tuple[str, ...] | None:
    """Those asked for; where none are, all that the dataset's archives have."""
    if _SPLITS.value:
        return tuple(_SPLITS.value)
    if not _DATASET.value.startswith("inat2021"):
        return None
    from fine2coarse.datasets.inat2021 import ARCHIVES

    return tuple(ARCHIVES)


def _format_summary(summary: dict) -> str:
    def counts(values: dict) -> str:
        return ", ".join(f"{key} {value:,}" for key, value in values.items()) or "none"

    return "\n".join(
        [
            f"{summary['dataset']} in {summary['folder']}",
            f"source      {summary['source']}, {summary['num_files']:,} files",
            f"examples    {counts(summary['splits'])}",
            f"classes     {summary['classes_seen']:,} seen of {summary['num_classes']:,}",
            f"skipped     {counts(summary['skipped'])}",
            f"transcoded  {counts(summary['transcoded'])}",
            f"duplicates  {summary['duplicate_files']:,} files in "
            f"{summary['duplicate_groups']:,} groups",
            f"seconds     {summary['seconds']}",
        ]
    )


def _hold(name: str, level: str) -> contextlib.AbstractContextManager[object]:
    """Refuses a second process that prepares the same; studies that want it wait."""
    from fine2coarse.claims import hold, preparation

    if "://" in _DATA_DIR.value:  # no file system to claim on
        return contextlib.nullcontext()
    claim = preparation(name, {"leaves": "present" if level.startswith("present") else "all"})
    folder = pathlib.Path(_DATA_DIR.value)
    return hold(folder / "claims", claim, f"{name} in {folder}")


def main(argv: list[str]) -> None:
    _check_flags(argv)
    beam_options = _beam_options(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # images are decoded on the CPU
    logging.set_verbosity(logging.ERROR)
    start_tensorflow()
    from fine2coarse.archives.archives import SourceError
    from fine2coarse.claims import AlreadyHeld
    from fine2coarse.datasets import imagenet21k, inat2021
    from fine2coarse.datasets.leveled import PreparationError, PrepareConfig

    began = time.monotonic()
    config = PrepareConfig(
        manual_dir=_MANUAL_DIR.value,
        num_workers=_NUM_WORKERS.value,
        splits=_splits(),
        num_validation=_NUM_VALIDATION.value,
        use_beam=_RUNNER.value == "beam",
        beam_options=beam_options,
        check_disk_space=not _IGNORE_DISK.value,
        show_progress=_RUNNER.value == "local",
    )
    builders = {"imagenet21k": imagenet21k.Imagenet21k, "inat2021": inat2021.Inat2021}
    name, _, level = _DATASET.value.partition("/")
    try:
        with _hold(name, level):
            builder = builders[name](config=level or None, data_dir=_DATA_DIR.value)
            builder.download_and_prepare(download_config=config, file_format=_FILE_FORMAT.value)
    except (SourceError, PreparationError, AlreadyHeld, ValueError, OSError) as error:
        fail(str(error))
    summary = {
        "dataset": builder.info.full_name,
        "folder": builder.data_dir,
        **dataclasses.asdict(builder.report()),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(_format_summary(summary))
    if _SUMMARY.value:
        path = pathlib.Path(_SUMMARY.value)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        partial.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)


def run() -> None:
    """Runs the program."""
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
