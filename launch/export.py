"""Exports a finished run as a SavedModel for TensorFlow Hub, Keras 2 and 3.

fine2coarse export --run=runs/demo --out=exported/demo --head
fine2coarse export --run=runs/demo/runs/fine-seed0/pretrain --out=exported/fine --tar

--run is a study (its winner is taken), a run (its last phase), or one of its phases.
"""

import pathlib
import shlex

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.run_flag import RUN_HELP, find_announced
from fine2coarse.errors import UsageError

_RUN = define_path("run", None, f"Folder of {RUN_HELP}.")
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
    found, out = find_announced(_RUN.value), pathlib.Path(_OUT.value)
    if found.is_export:
        raise UsageError(f"--run={found.path} is an export already; give the run that it is of")
    with hold_file(out):
        done = export_run(found.path, out, options)
    weights = "moving average" if done.facts.averaged else "last weights"
    print(
        f"exported {done.facts.backbone_name} ({done.facts.output}, {weights}) to {done.folder}: "
        f"{done.num_bytes / 1e6:.2f} MB for {done.num_weight_bytes / 1e6:.2f} MB of weights"
    )
    if done.archive:
        print(f"archive: {done.archive} ({done.archive.stat().st_size / 1e6:.2f} MB)")
    print(f'load it: tensorflow_hub.load("{done.folder}"); its card: {done.folder / "README.md"}')
    if options.with_head:
        print(f"classify: {shlex.join(['fine2coarse', 'predict', f'--run={out}', 'PHOTO.jpg'])}")


if __name__ == "__main__":
    run_main(main, required=("run", "out"), start=lambda: start_on_tensorflow("export"))
