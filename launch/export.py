"""Exports a finished run as a SavedModel for TensorFlow Hub, Keras 2 and 3.

fine2coarse export --run=runs/fine --out=exported/fine
fine2coarse export --run=runs/coarse --out=exported/coarse --head --tar
"""

import pathlib

from absl import flags

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main

_RUN = define_path("run", None, "Folder of a finished run.")
_OUT = define_path("out", None, "Folder to make.")
_HEAD = flags.DEFINE_bool("head", False, "Logits and class names, not feature vectors.")
_EMA = flags.DEFINE_bool(
    "ema", None, "The moving average of the weights; where not given: if the run has one."
)
_TAR = flags.DEFINE_bool("tar", False, "Also write OUT.tar.gz, the form that TF Hub serves.")
_DATA_TERMS = flags.DEFINE_string(
    "data_terms", "", "Terms of the images, for the card; default: what is known of the dataset."
)
_KAGGLE_OWNER = flags.DEFINE_string("kaggle_owner", "", "Who will upload it to Kaggle Models.")
_KAGGLE_LICENSE = flags.DEFINE_string(
    "kaggle_license", "", "One of Kaggle's licence names; default: from the dataset's terms."
)


def main() -> None:
    from fine2coarse.claims import hold_file
    from fine2coarse.export.run_export import ExportOptions, export_run

    options = ExportOptions(
        with_head=_HEAD.value,
        ema=_EMA.value,
        archive=_TAR.value,
        data_terms=_DATA_TERMS.value,
        kaggle_owner=_KAGGLE_OWNER.value,
        kaggle_license=_KAGGLE_LICENSE.value,
    )
    out = pathlib.Path(_OUT.value)
    with hold_file(out):
        done = export_run(pathlib.Path(_RUN.value), out, options)
    weights = "moving average" if done.facts.averaged else "last weights"
    print(
        f"exported {done.facts.backbone_name} ({done.facts.output}, {weights}) to {done.folder}: "
        f"{done.num_bytes / 1e6:.2f} MB for {done.num_weight_bytes / 1e6:.2f} MB of weights"
    )
    if done.archive:
        print(f"archive: {done.archive} ({done.archive.stat().st_size / 1e6:.2f} MB)")
    print(f'load it: tensorflow_hub.load("{done.folder}"); its card: {done.folder / "README.md"}')


if __name__ == "__main__":
    run_main(main, required=("run", "out"), needs_tensorflow=True)
