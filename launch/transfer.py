"""Transfers a pretrained backbone to a recipe's target, and evaluates it.

python launch/transfer.py --config=configs/demo.py --pretrained=runs/fine --workdir=runs/coarse

`--pretrained` is a finished run, a folder that launch/export.py made, any other folder with a
reusable SavedModel of feature vectors, a TF Hub handle (https://tfhub.dev/...) or a Kaggle handle
(google/resnet-v1/tensorFlow2/50-feature-vector/1). In the last three cases the SavedModel itself is
the backbone, whatever the recipe names.
"""

import dataclasses
import pathlib

from _cli import CONFIG, WORKDIR, open_study, run_main
from absl import flags

_PRETRAINED = flags.DEFINE_string(
    "pretrained", None, "A finished run, an exported folder, a TF Hub or Kaggle handle."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of head, order and augmentation.", lower_bound=0)


def main() -> None:
    from fine2coarse.experiment.phases import execute
    from fine2coarse.experiment.pretrained import find_pretrained
    from fine2coarse.experiment.progress import ProgressBar
    from fine2coarse.experiment.recipe import Recipe
    from fine2coarse.experiment.run_folder import RunFolder
    from fine2coarse.experiment.study import transfer_run

    recipe = Recipe.from_config(CONFIG.value).only(arm="target", seed=_SEED.value)
    pretrained = find_pretrained(_PRETRAINED.value, recipe.backbone.image_size_px)
    strategy, data = open_study(recipe)
    run = transfer_run(recipe, _SEED.value, data, pretrained.start_from)
    run = dataclasses.replace(run, backbone=pretrained.backbone or run.backbone)
    bar = ProgressBar(f"transfer to {data.target.name}")
    result = execute(run, RunFolder(pathlib.Path(WORKDIR.value)), strategy, bar)
    counts = result["evaluation"]
    print(
        f"{recipe.transfer_mode} to {data.target.name} ({result['num_classes']} classes), seed "
        f"{_SEED.value}: top-1 error {counts['num_wrong']}/{counts['num_images']} = "
        f"{100 * counts['num_wrong'] / counts['num_images']:.2f} %"
    )


if __name__ == "__main__":
    run_main(main, required=("config", "workdir", "pretrained"))
