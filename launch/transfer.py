"""Transfers a pretrained model to a recipe's target, and evaluates it.

python launch/transfer.py --config=configs/demo.py --pretrained=runs/fine --workdir=runs/coarse

As in a study several transfers are tried (in `trials/` below --workdir), and the best on held-out
training images counts; --config.transfer_mode=linear_probe or the like makes one alone.

`--pretrained` is a finished run, a folder that launch/export.py made, any other folder with a
reusable SavedModel of feature vectors, a TF Hub handle (https://tfhub.dev/...) or a Kaggle handle
(google/resnet-v1/tensorFlow2/50-feature-vector/1). In the last three cases the SavedModel itself is
the backbone, whatever the recipe names. The head of a finished run can be kept and its classes
summed into the target's; of all else the backbone alone is used.
"""

import pathlib

from absl import flags

from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import WORKDIR, hold_workdir, open_study, read_recipe, run_main

_PRETRAINED = define_path(
    "pretrained", None, "A finished run, an exported folder, a TF Hub or Kaggle handle."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of head, order and augmentation.", lower_bound=0)


def main() -> None:
    from fine2coarse.runs.pretrained import find_pretrained
    from fine2coarse.studies.run_phases import Executor, do_transfer, find_source

    recipe = read_recipe().only(arm="target", seed=_SEED.value)
    pretrained = find_pretrained(_PRETRAINED.value, recipe.backbone.image_size_px)
    with hold_workdir() as claim:
        strategy, data = open_study(recipe)
        source = find_source(recipe, data, pretrained)
        result = do_transfer(
            recipe,
            recipe.transfer,
            _SEED.value,
            data,
            source,
            pathlib.Path(WORKDIR.value),
            Executor(strategy, f"transfer to {data.target.name}", claim=claim),
            trials=pathlib.Path(WORKDIR.value) / "trials",
        )
    counts = result["evaluation"]
    print(
        f"{result['transfer']} to {data.target.name} ({data.target.num_classes} classes), seed "
        f"{_SEED.value}: top-1 error {counts['num_wrong']}/{counts['num_images']} = "
        f"{100 * counts['num_wrong'] / counts['num_images']:.2f} %"
    )


if __name__ == "__main__":
    run_main(main, required=("config", "workdir", "pretrained"))
