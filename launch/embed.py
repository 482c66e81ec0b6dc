"""Embeds the images of a dataset or a folder, for clusters or a search.

Writes a memory-mapped .npy, and its image ids beside it:

fine2coarse embed --dataset=demo --data_dir=data --run=runs/fine --out=e.npy
fine2coarse embed --dataset=demo --data_dir=data --preset=clip_vit_large_patch14 --l2 --pca=256 \\
  --out=e.npy
fine2coarse embed --dataset=demo --data_dir=data --hub=FOLDER_OR_HANDLE --out=e.npy
fine2coarse embed --dataset=demo --data_dir=data --npy=mine.npy --ids=ids.txt --out=e.npy
fine2coarse embed --images=FOLDER --run=runs/demo --out=e.npy

Killed, it goes on with the same command. --config=folder names a dataset with options; --images a
plain folder, whose image ids are paths below it.
"""

import pathlib
import time
from typing import TYPE_CHECKING

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.claims import hold_file
from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.cli.device_flags import engine_of_flags, refuse_workers
from fine2coarse.cli.named_dataset import DATASET, open_named_dataset
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.run_flag import RUN_HELP, find_announced
from fine2coarse.errors import UsageError

if TYPE_CHECKING:
    from fine2coarse.input.prepared_images import PreparedImages

_OUT = define_path("out", None, "File to write, .npy.")
_IMAGES = define_path("images", None, "Embed the images below this folder, not a dataset's.")
_RUN = define_path("run", None, f"Embed with the backbone of {RUN_HELP}, or of an export.")
_PRESET = define_path("preset", None, "Embed with this KerasHub preset (name or folder).")
_HUB = define_path("hub", None, "Embed with this TF Hub handle or SavedModel folder.")
_NPY = define_path("npy", None, "Take these vectors, joined by image id.")
_IDS = define_path("ids", "", "With --npy: its image ids, one a line.")
_SPLITS = flags.DEFINE_list("splits", [], "Splits, the training split first; default: all.")
_SIZE = flags.DEFINE_integer("image_size_px", 0, "Side of the images, where the model has none.")
_BATCH = flags.DEFINE_integer("batch_size", 128, "Images a step.", lower_bound=1)
_PCA = flags.DEFINE_integer("pca", 0, "Dimensions to keep; 0 for all.", lower_bound=0)
_L2 = flags.DEFINE_boolean("l2", False, "Scale every vector to length one (after PCA).")


def main() -> None:
    kind, name = _model()
    if not _OUT.value.endswith(".npy"):
        raise UsageError(f"--out is the file to write and ends in .npy; got {_OUT.value!r}")
    refuse_workers("start embed once, without TF_CONFIG, with --strategy=one_device or mirrored")
    from fine2coarse.embeddings import embedding, encoders
    from fine2coarse.labels.embeddings import Embeddings

    if kind == "run":  # is it finished? Before anything heavy is loaded
        found = find_announced(name)
        kind, name = "export" if found.is_export else "run", str(found.path)
    out, started = pathlib.Path(_OUT.value), time.monotonic()
    dataset, splits = _images()
    finish = embedding.FinishSpec(num_pca_dims=_PCA.value, l2=_L2.value)
    with hold_file(out):
        if kind == "npy":
            given = Embeddings.load(name, _IDS.value)
            found = embedding.adopt(given, dataset, splits, out, finish=finish)
        else:
            engine = engine_of_flags()
            with engine.scope():
                encoder = encoders.make_encoder(kind, name, _SIZE.value)
            found = embedding.embed_dataset(
                dataset,
                splits,
                encoder,
                out,
                engine,
                finish=finish,
                batch_size=_BATCH.value,
                announce=embedding.progress_bar(),
            )
    rows, dims = found.vectors.shape
    seconds = time.monotonic() - started
    print(f"wrote {out}: {rows:,} images × {dims} dimensions in {seconds:.1f} s")
    if _IMAGES.value:
        dataset.check_all_were_read()


def _images() -> "tuple[PreparedImages, list[str]]":
    """The images of --images, or of --dataset and --config, and the splits to embed."""
    if not _IMAGES.value:
        dataset = open_named_dataset()
        return dataset, _SPLITS.value or sorted(dataset.splits, key=lambda name: name != "train")
    if DATASET.value or CONFIG.value is not None or _SPLITS.value:
        raise UsageError("--images is a plain folder: leave out --dataset, --config and --splits")
    from fine2coarse.embeddings.folder_images import SPLIT, FolderImages

    return FolderImages(pathlib.Path(_IMAGES.value)), [SPLIT]


def _model() -> tuple[str, str]:
    """Which of the four ways was chosen, and the name given with it."""
    given = {"run": _RUN.value, "preset": _PRESET.value, "hub": _HUB.value, "npy": _NPY.value}
    chosen = [kind for kind, name in given.items() if name]
    if len(chosen) != 1:
        raise UsageError(f"choose one of --run, --preset, --hub and --npy; got {chosen or 'none'}")
    return chosen[0], given[chosen[0]]


if __name__ == "__main__":
    run_main(main, required=("out",), start=lambda: start_on_tensorflow("embed"))
