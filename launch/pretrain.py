"""Pretrains a backbone on one label space of a recipe.

fine2coarse pretrain --config=demo --arm=fine --workdir=runs/fine
"""

import pathlib

from absl import flags

from fine2coarse.cli.backend_flag import start_chosen_backend
from fine2coarse.cli.device_flags import STRATEGY, engine_of_flags
from fine2coarse.cli.folder_flags import WORKDIR, data_folder
from fine2coarse.cli.packed_flag import PACKED
from fine2coarse.cli.program import run_main
from fine2coarse.cli.recipe_flags import read_recipe

_ARM = flags.DEFINE_string(
    "arm", None, "Whose labels to pretrain on: an arm of the recipe, or `target`."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of weights, order and augmentation.", lower_bound=0)


def main() -> None:
    recipe = read_recipe().only(arm=_ARM.value, seed=_SEED.value)
    from fine2coarse.runs.claimed_run import ClaimedFolder, ClaimedObserver, hold_run
    from fine2coarse.runs.execution import execute
    from fine2coarse.runs.progress import ProgressBar
    from fine2coarse.studies.open_study import open_study
    from fine2coarse.studies.run_phases import pretraining_run

    workdir = pathlib.Path(WORKDIR.value)
    with hold_run(workdir, STRATEGY.value) as claim:
        engine = engine_of_flags()
        data = open_study(recipe, data_folder(), packed=PACKED.value, devices=engine)
        space = data.target if _ARM.value == "target" else data.spaces[_ARM.value, _SEED.value]
        run = pretraining_run(recipe, space, _SEED.value, data, _ARM.value)
        with ProgressBar(f"pretrain on {space.name}") as bar:
            observer = ClaimedObserver(bar, claim)
            result = execute(run, ClaimedFolder(workdir, claim), engine, observer)
    print(
        f"pretrained on {space.name} ({space.num_classes} classes), seed {_SEED.value}: loss "
        f"{result['last_loss']:.4f}, {result['images_seen']} images in "
        f"{result['elapsed_seconds']:.0f} s; transfer it with --pretrained={workdir}"
    )


if __name__ == "__main__":
    run_main(main, required=("config", "workdir", "arm"), start=start_chosen_backend)
