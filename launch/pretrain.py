"""Pretrains a backbone on one label space of a recipe.

python launch/pretrain.py --config=configs/demo.py --arm=fine --workdir=runs/fine
"""

import pathlib

from absl import flags

from fine2coarse.cli.program import WORKDIR, hold_workdir, open_study, read_recipe, run_main

_ARM = flags.DEFINE_string(
    "arm", None, "Whose labels to pretrain on: an arm of the recipe, or `target`."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.", lower_bound=0)


def main() -> None:
    from fine2coarse.runs.claimed_run import ClaimedFolder, ClaimedObserver
    from fine2coarse.runs.execution import execute
    from fine2coarse.runs.progress import ProgressBar
    from fine2coarse.studies.run_phases import pretraining_run

    recipe = read_recipe().only(arm=_ARM.value, seed=_SEED.value)
    with hold_workdir() as claim:
        strategy, data = open_study(recipe)
        space = data.target if _ARM.value == "target" else data.spaces[_ARM.value, _SEED.value]
        run = pretraining_run(recipe, space, _SEED.value, data, _ARM.value)
        bar = ClaimedObserver(ProgressBar(f"pretrain on {space.name}"), claim)
        result = execute(run, ClaimedFolder(pathlib.Path(WORKDIR.value), claim), strategy, bar)
    print(
        f"pretrained on {space.name} ({space.num_classes} classes), seed {_SEED.value}: loss "
        f"{result['last_loss']:.4f}, {result['images_seen']} images in "
        f"{result['elapsed_seconds']:.0f} s; transfer it with --pretrained={WORKDIR.value}"
    )


if __name__ == "__main__":
    run_main(main, required=("config", "workdir", "arm"))
