"""Packs the images of a recipe as arrays that any backend reads.

It takes TensorFlow; stopped, it goes on with the same command. To read the pack takes none:

  fine2coarse pack --config=demo --out=packs/demo
  fine2coarse study --config=demo --packed=packs/demo --workdir=runs/demo

Held are the splits that the card names, with ids, labels, digests and the taxonomy. See
docs/datasets.md for what becomes of the pixels.
"""

import os
import shlex

from absl import flags

from fine2coarse.backend_start import start_on_tensorflow
from fine2coarse.claims import hold
from fine2coarse.cli.card_flag import CONFIG
from fine2coarse.cli.folder_flags import data_folder
from fine2coarse.cli.path_flags import define_path
from fine2coarse.cli.program import run_main
from fine2coarse.cli.recipe_flags import read_recipe
from fine2coarse.errors import UsageError
from fine2coarse.formats import disk_size
from fine2coarse.packs.layout import CHOICES
from fine2coarse.packs.pack import Pack, open_pack

_OUT = define_path("out", None, "Folder of the pack: new, or of the same pack.")
_PIXELS = flags.DEFINE_enum(
    "pixels",
    None,
    CHOICES,
    "squares: central squares; shorter_side: whole images, shrunk; encoded: the files' bytes. "
    "Default: images of one size as they are; others shorter_side where the card crops windows of "
    "several scales, else squares.",
)
_SIZE_PX = flags.DEFINE_integer(
    "size_px",
    None,
    "Side of the squares (default: the card's), or the shorter side (8/7 of the card's).",
    lower_bound=1,
)
_VERIFY = flags.DEFINE_boolean(
    "verify", False, "Read the whole pack of --out and compare it with its checksums, no more."
)


def main() -> None:
    if _VERIFY.value:
        pack = open_pack(_OUT.value)
        print(f"{pack.verify()} arrays are as they were written: {_told(pack)}")
        return
    if CONFIG.value is None:
        raise UsageError("name the card whose images are packed: --config=CARD")
    recipe = read_recipe()
    from fine2coarse.packs.packing import checked_folder, pack_images

    out = checked_folder(_OUT.value)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # images are decoded on the CPU
    start_on_tensorflow("packing")
    with hold(out / "claims", "pack", f"--out={out}"):
        pack = pack_images(recipe, out, data_folder(), _PIXELS.value, _SIZE_PX.value)
    print(f"{_told(pack)}; read it with {shlex.quote(f'--packed={out}')}")


def _told(pack: Pack) -> str:
    num_images = sum(part["num_images"] for part in pack.content["parts"])
    num_bytes = sum(part["image_bytes"] for part in pack.content["parts"])
    return f"{num_images:,} images, {disk_size(num_bytes)}: {pack.described()}"


if __name__ == "__main__":
    run_main(main, required=("out",))
