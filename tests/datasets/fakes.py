"""Small sources in the layouts that people have on disk, made anew for each test."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pathlib
import random
import tarfile
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

SYNSETS = ("n01443537", "n02084071", "n02085620", "n02113335")
"""Goldfish, dog, chihuahua, poodle: all of them among ImageNet-21k's synsets."""


def pixels(seed: int, size: tuple[int, int] = (24, 20)) -> np.ndarray:
    """A smooth random picture: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    """The bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def jpeg(seed: int, **options: object) -> bytes:
    """A small JPEG that no other seed gives."""
    return encode(Image.fromarray(pixels(seed)), "JPEG", **options)


def spoilt(data: bytes, spoil: random.Random) -> bytes:
    """The bytes with some bits flipped, a piece cut out, put in or overwritten, or the end lost."""
    found = bytearray(data)
    for _ in range(spoil.randrange(1, 4)):
        at = spoil.randrange(len(found) or 1)
        kind = spoil.randrange(5)
        if kind <= 1 and found:
            found[at] ^= 1 << spoil.randrange(8)
        elif kind == 2:
            del found[at : at + spoil.randrange(1, 40)]
        elif kind == 3:
            found[at:at] = spoil.randbytes(spoil.randrange(1, 20))
        else:
            del found[at + spoil.randrange(1, len(data)) :]
    return bytes(found)


def tar_bytes(files: Mapping[str, bytes] | Sequence[tuple[str, bytes]]) -> bytes:
    """A tar of files; names are taken as they are, however wicked."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def synset_files(synset: str, count: int, first_seed: int = 0) -> dict[str, bytes]:
    """Files of one synset."""
    return {f"{synset}_{n}.JPEG": jpeg(first_seed + n) for n in range(count)}


def whole_tar(
    folder: pathlib.Path, files_of: Mapping[str, Mapping[str, bytes]], *, gzipped: bool = False
) -> pathlib.Path:
    """ImageNet's outer archive: a tar of per-synset tars."""
    folder.mkdir(parents=True, exist_ok=True)
    data = tar_bytes({f"{synset}.tar": tar_bytes(files) for synset, files in files_of.items()})
    path = folder / ("winter21_whole.tar.gz" if gzipped else "fall11_whole.tar")
    path.write_bytes(gzip.compress(data) if gzipped else data)
    return path


def small_files(num_images: int = 6) -> dict[str, dict[str, bytes]]:
    """Some files of each of the four synsets."""
    return {
        synset: synset_files(synset, num_images, 100 * number)
        for number, synset in enumerate(SYNSETS)
    }


CATEGORY_ROWS = (
    # name, supercategory, kingdom, phylum, class, order, family, genus
    ("Lumbricus terrestris", "Animalia", "Animalia", "Annelida", "Clitellata", "Haplotaxida",
     "Lumbricidae", "Lumbricus"),
    ("Pieris rapae", "Insects", "Animalia", "Arthropoda", "Insecta", "Lepidoptera", "Pieridae",
     "Pieris"),
    ("Pieris japonica", "Plants", "Plantae", "Tracheophyta", "Magnoliopsida", "Ericales",
     "Ericaceae", "Pieris"),
    ("Pieris napi", "Insects", "Animalia", "Arthropoda", "Insecta", "Lepidoptera", "Pieridae",
     "Pieris"),
)  # fmt: skip
"""Two genera that are called Pieris, and a supercategory called like a kingdom."""


def categories() -> list[dict]:
    """The four species as the competition's records."""
    fields = ("name", "supercategory", "kingdom", "phylum", "class", "order", "family", "genus")
    return [{"id": number, **dict(zip(fields, row))} for number, row in enumerate(CATEGORY_ROWS)]


def inat_split(
    folder: pathlib.Path,
    archive: str,
    num_images: int,
    *,
    first_id: int = 0,
    change=lambda content, files: None,
) -> None:
    """One split of iNaturalist 2021: NAME.tar.gz and NAME.json.tar.gz.

    Args:
      folder: where to.
      archive: NAME.
      num_images: of each species.
      first_id: of the images.
      change: may spoil the annotations and the files before they are written.
    """
    files: dict[str, bytes] = {}
    content: dict = {"images": [], "annotations": [], "categories": categories()}
    image_id = first_id
    for category in content["categories"]:
        directory = f"{category['id']:05d}_{category['name'].replace(' ', '_')}"
        for _ in range(num_images):
            name = f"{archive}/{directory}/{image_id:08x}.jpg"
            files[name] = jpeg(image_id)
            content["images"].append({"id": image_id, "file_name": name, "latitude": float("nan")})
            # the annotations' own ids and order say nothing
            content["annotations"].insert(
                0, {"id": 10**6 - image_id, "image_id": image_id, "category_id": category["id"]}
            )
            image_id += 1
    change(content, files)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{archive}.tar.gz").write_bytes(gzip.compress(tar_bytes(files)))
    annotations = tar_bytes({f"{archive}.json": json.dumps(content).encode()})
    (folder / f"{archive}.json.tar.gz").write_bytes(gzip.compress(annotations))


def skipped(folder: str | pathlib.Path) -> dict[str, str]:
    """File → reason, from the list beside the data."""
    with (pathlib.Path(folder) / "skipped.csv").open(newline="", encoding="utf-8") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def content_of(folder: str | pathlib.Path) -> dict[str, bytes]:
    """Every file below a folder."""
    root = pathlib.Path(folder)
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
