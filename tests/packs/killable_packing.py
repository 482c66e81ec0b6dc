"""Packs photographs slowly, in chunks of one: arguments are their folder, the data and the pack."""

from __future__ import annotations

import pathlib
import sys
import time

from fine2coarse.packs import packing, writer
from tests.packs.photographs import recipe_of


def main(folder: str, data_dir: str, out: str) -> None:
    append = writer._append

    def slowly(path: pathlib.Path, data: bytes) -> None:
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            append(path, part)
            time.sleep(0.02)

    packing._CHUNK_IMAGES, writer._append = 1, slowly
    pathlib.Path(f"{out}.begun").touch()
    packing.pack_images(recipe_of(pathlib.Path(folder)), pathlib.Path(out), data_dir, "encoded")


if __name__ == "__main__":
    main(*sys.argv[1:])
