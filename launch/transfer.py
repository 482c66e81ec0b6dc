"""Transfers a pretrained model to a recipe's target, and evaluates it.

fine2coarse transfer --config=demo --pretrained=runs/fine --workdir=runs/coarse

As in a study several transfers are tried (in `trials/` below --workdir), and the best on held-out
training images counts; --config.transfer_mode=linear_probe or the like makes one alone.

`--pretrained` is a finished run (of a study, or of a run with several phases, its pretraining is
taken), a folder that `export` made, any other folder with a
reusable SavedModel of feature vectors, a TF Hub handle (https://tfhub.dev/...) or a Kaggle handle
(google/resnet-v1/tensorFlow2/50-feature-vector/1). In the last three cases the SavedModel itself is
the backbone, whatever the recipe names. The head of a finished run can be kept and its classes
summed into the target's; of all else the backbone alone is used.
"""

import pathlib

from absl import flags

from fine2coarse.cli.backend_flag import start_chosen_backend
from fine2coarse.cli.device_flags import STRATEGY, engine_of_flags
from fine2coarse.cli.folder_flags import WORKDIR, data_folder
from fine2coarse.cli.packed_flag import PACKED
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.recipe_flags import read_recipe
from fine2coarse.cli.run_flag import find_announced

_PRETRAINED = define_path(
    "pretrained", None, "A finished run, an exported folder, a TF Hub or Kaggle handle."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of head, order and augmentation.", lower_bound=0)


def main() -> None:
    recipe = read_recipe().only(arm="target", seed=_SEED.value)
    from fine2coarse.runs.claimed_run import hold_run
    from fine2coarse.runs.fine_classes import keep_fine_space
    from fine2coarse.runs.phase_folder import PhaseFolder
    from fine2coarse.runs.pretrained import find_pretrained
    from fine2coarse.runs.run_folders import Kind, kind_of
    from fine2coarse.studies.open_study import open_study
    from fine2coarse.studies.run_phases import Executor, do_transfer, find_start

    handle = _PRETRAINED.value
    if kind_of(pathlib.Path(handle)) in (Kind.RUN, Kind.STUDY):
        handle = str(find_announced(handle, pretraining=True).path)
    pretrained = find_pretrained(handle, recipe.backbone.image_size_px)
    workdir = pathlib.Path(WORKDIR.value)
    with hold_run(workdir, STRATEGY.value) as claim:
        engine = engine_of_flags()
        data = open_study(recipe, data_folder(), packed=PACKED.value, devices=engine)
        result = do_transfer(
            recipe,
            recipe.transfer,
            _SEED.value,
            data,
            find_start(recipe, data, pretrained),
            workdir,
            Executor(engine, f"transfer to {data.target.name}", claim=claim),
            trials=workdir / "trials",
        )
        keep_fine_space(PhaseFolder(workdir), pretrained.start_from)
    counts = result["evaluation"]
    print(
        f"{result['transfer']} to {data.target.name} ({data.target.num_classes} classes), seed "
        f"{_SEED.value}: top-1 error {counts['num_wrong']}/{counts['num_images']} = "
        f"{100 * counts['num_wrong'] / counts['num_images']:.2f} %"
    )


if __name__ == "__main__":
    run_main(main, required=("config", "workdir", "pretrained"), start=start_chosen_backend)
