"""Prepares ImageNet-21k or iNaturalist 2021: checks images, writes records.

Stopped, it goes on with the same command:

  fine2coarse prepare --dataset=imagenet21k --manual_dir=archives --data_dir=data
  fine2coarse prepare --dataset=imagenet21k/present_level0 --manual_dir=archives \\
    --data_dir=data --num_workers=8 --summary=summary.json
  fine2coarse prepare --dataset=imagenet21k/21k_p_level0 --manual_dir=archives --data_dir=data
  fine2coarse prepare --dataset=imagenet21k --min_images_per_class=50 \\
    --num_validation_per_class=5 --manual_dir=archives --data_dir=data
  fine2coarse prepare --dataset=inat2021 --data_dir=data --splits=mini,val
  fine2coarse prepare --dataset=imagenet21k --manual_dir=/nfs/archives --data_dir=/nfs/data \\
    --runner=beam -- --runner=FlinkRunner --flink_master=host:8081
"""

import os
from collections.abc import Sequence

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.datasets.leveled_names import check_archives, with_class_rule
from fine2coarse.errors import UsageError
from fine2coarse.files import write_json

_DATASET = flags.DEFINE_string(
    "dataset", None, "imagenet21k or inat2021; or with a config, as in imagenet21k/21k_p_level0."
)
_MANUAL_DIR = define_path("manual_dir", None, "Folder of archives that you have.")
_DATA_DIR = define_path("data_dir", None, "Folder of all TFDS datasets.")
_SPLITS = flags.DEFINE_list("splits", None, "Splits to prepare; all where absent (inat2021).")
_NUM_VALIDATION = flags.DEFINE_integer(
    "num_validation", None, "Images to hold out (imagenet21k); 102,400 at full scale where absent."
)
_MIN_IMAGES = flags.DEFINE_integer(
    "min_images_per_class", None, "Leave classes with fewer images out (imagenet21k).", 1
)
_NUM_VALIDATION_PER_CLASS = flags.DEFINE_integer(
    "num_validation_per_class", None, "Images of each class to hold out (imagenet21k).", 1
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


def main(arguments: Sequence[str]) -> None:
    dataset = with_class_rule(_DATASET.value, _MIN_IMAGES.value, _NUM_VALIDATION_PER_CLASS.value)
    if _RUNNER.value == "local" and arguments:
        raise UsageError(f"unexpected arguments: {arguments}; Beam's go with --runner=beam")
    if _DATA_DIR.value is None:
        raise UsageError("--data_dir=FOLDER says where the prepared datasets go")
    check_archives(dataset.partition("/")[0], _MANUAL_DIR.value)
    beam_options = _beam_options(arguments) if _RUNNER.value == "beam" else None
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # images are decoded on the CPU
    start_on_tensorflow("prepare")
    from fine2coarse.datasets.leveled import PrepareConfig
    from fine2coarse.datasets.preparing import prepare_dataset, summary_text

    config = PrepareConfig(
        manual_dir=_MANUAL_DIR.value,
        num_workers=_NUM_WORKERS.value,
        splits=tuple(_SPLITS.value) if _SPLITS.value else None,
        num_validation=_NUM_VALIDATION.value,
        use_beam=_RUNNER.value == "beam",
        beam_options=beam_options,
        check_disk_space=not _IGNORE_DISK.value,
        show_progress=_RUNNER.value == "local",
    )
    summary = prepare_dataset(dataset, _DATA_DIR.value, config, _FILE_FORMAT.value)
    print(summary_text(summary))
    if _SUMMARY.value:
        write_json(_SUMMARY.value, summary)


def _beam_options(arguments: Sequence[str]):
    try:
        from apache_beam.options import pipeline_options
    except ImportError:
        raise UsageError(
            '--runner=beam needs Beam: pip install "fine2coarse[beam]", or in a checkout ".[beam]"'
        ) from None
    return pipeline_options.PipelineOptions(list(arguments))


if __name__ == "__main__":
    run_main(main, takes_arguments=True)
