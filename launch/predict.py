"""Classifies photographs with a finished run, and prints a CSV.

fine2coarse predict --run=runs/demo photo.jpg FOLDER
fine2coarse predict --run=runs/demo/runs/fine-seed0 --top=3 --out=classes.csv FOLDER
fine2coarse predict --run=exported/demo photo.jpg

--run is a study (its winner is taken), a run, one of its phases, or an export with its head.
Folders are gone through to their ends; images are shown to the model as the run evaluates. An
image that cannot be read is named, and the exit code is 3; all others have their row. What is no
image at all is passed over.
"""

import pathlib
import sys

from absl import flags

from fine2coarse.cli.backend_flag import start_chosen_backend
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.run_flag import check_out, find_announced
from fine2coarse.errors import UsageError

_RUN = define_path("run", None, "Folder of a study, a run, a phase or an export.")
_OUT = define_path("out", None, "CSV file to write; default: standard output.")
_TOP = flags.DEFINE_integer("top", 5, "Classes told of each image, at most.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images at once.", lower_bound=1)


def main(paths: list[str]) -> None:
    if not paths:
        raise UsageError("name the images: fine2coarse predict --run=… PHOTO.jpg FOLDER")
    if _OUT.value:
        check_out(pathlib.Path(_OUT.value))
    from fine2coarse.preparation.image_files import find_images

    images, run = find_images(paths, pass_over=True), find_announced(_RUN.value)
    if images.passed_over:
        print(f"passed over: {images.passed_over}", file=sys.stderr)
    start_chosen_backend()
    from fine2coarse.prediction.csv_output import write_predictions
    from fine2coarse.prediction.loaded_model import LoadedModel

    model = LoadedModel(run.path, is_export=run.is_export)
    write_predictions(model, images.images, _OUT.value, top=_TOP.value, batch_size=_BATCH.value)


if __name__ == "__main__":
    flags.FLAGS.set_gnu_getopt()  # flags may stand after the files
    run_main(main, required=("run",), takes_arguments=True)
