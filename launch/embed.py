"""Embeds a dataset's images, for clusters: a memory-mapped .npy, its image ids beside it.

python launch/embedding.py --dataset=demo --data_dir=data --run=runs/fine --out=e.npy
python launch/embedding.py --dataset=demo --data_dir=data --preset=clip_vit_large_patch14 --l2 \
  --pca=256 --out=e.npy
python launch/embedding.py --dataset=demo --data_dir=data --hub=FOLDER_OR_HANDLE --out=e.npy
python launch/embedding.py --dataset=demo --data_dir=data --npy=mine.npy --ids=ids.txt --out=e.npy

Killed, it goes on with the same command. --config=configs/folder.py names a dataset with options.
"""

import pathlib
import time
from typing import TYPE_CHECKING

from absl import flags

from fine2coarse.cli.named_dataset import open_named_dataset
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import NUM_LOGICAL_CPUS, STRATEGY, refuse_workers, run_main

if TYPE_CHECKING:
    from fine2coarse.datasets.prepared import PreparedDataset
    from fine2coarse.embeddings.encoders import Encoder

_OUT = define_path("out", None, "File to write, .npy.")
_RUN = define_path("run", None, "Embed with the backbone of this finished run's folder.")
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
    sources = {"run": _RUN.value, "preset": _PRESET.value, "hub": _HUB.value, "npy": _NPY.value}
    chosen = [name for name, value in sources.items() if value]
    if len(chosen) != 1:
        raise ValueError(f"choose one of --run, --preset, --hub and --npy; got {chosen or 'none'}")
    if not _OUT.value.endswith(".npy"):
        raise ValueError(f"--out is the file to write and ends in .npy; got {_OUT.value!r}")
    refuse_workers("start embed once, without TF_CONFIG, with --strategy=one_device or mirrored")
    if _RUN.value:
        _check_run(pathlib.Path(_RUN.value))
    dataset = open_named_dataset()
    from fine2coarse.claims import hold_file

    with hold_file(pathlib.Path(_OUT.value)):
        _embed(dataset)


def _embed(dataset: "PreparedDataset") -> None:
    from fine2coarse.embeddings import embedding
    from fine2coarse.labels.embeddings import Embeddings
    from fine2coarse.training.strategy import make_strategy

    out, started = pathlib.Path(_OUT.value), time.monotonic()
    splits = _SPLITS.value or sorted(dataset.splits, key=lambda split: split != "train")
    finish = embedding.FinishSpec(num_pca_dims=_PCA.value, l2=_L2.value)
    if _NPY.value:
        given = Embeddings.load(_NPY.value, _IDS.value)
        found = embedding.adopt(given, dataset, splits, out, finish=finish)
    else:
        strategy = make_strategy(STRATEGY.value, NUM_LOGICAL_CPUS.value)
        with strategy.scope():
            encoder = _encoder()
        found = embedding.embed_dataset(
            dataset,
            splits,
            encoder,
            out,
            strategy,
            finish=finish,
            batch_size=_BATCH.value,
            announce=_progress(),
        )
    seconds = time.monotonic() - started
    rows, dims = found.vectors.shape
    print(f"wrote {out}: {rows:,} images × {dims} dimensions in {seconds:.1f} s")


def _check_run(path: pathlib.Path) -> None:
    """Refuses an unfinished run before anything heavy is loaded."""
    from fine2coarse.runs.phase_folder import PhaseFolder

    PhaseFolder(path).result()


def _encoder() -> "Encoder":
    from fine2coarse.embeddings import encoders

    if _RUN.value:
        return encoders.from_run(pathlib.Path(_RUN.value))
    if _PRESET.value:
        return encoders.from_preset(_PRESET.value, _SIZE.value)
    return encoders.from_hub(_HUB.value, _SIZE.value)


def _progress():
    from tqdm import tqdm

    bar = tqdm(desc="embed", unit=" images", disable=None)

    def announce(done: int, total: int) -> None:
        if bar.total is None:
            bar.reset(total)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return announce


if __name__ == "__main__":
    run_main(main, required=("out",))
