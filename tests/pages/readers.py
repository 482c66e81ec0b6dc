"""What a page's reader has: photographs, archives, lists, made small."""

from __future__ import annotations

import io
import json
import pathlib
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from tests.datasets import fakes

TAXONOMY = "breed,animal\nsiamese,cat\npersian,cat\nbeagle,dog\n"
"""Four lines: three fine classes of two coarse ones."""

IMAGES_PER_CLASS = 40
# Class → brightness of its coat. Cats are darker or lighter than dogs, so the two animals are
# harder to learn than the three breeds.
_COATS = {"siamese": 50, "persian": 190, "beagle": 120}


def photograph(name: str, number: int) -> bytes:
    """A drawn picture of a class as JPEG, 96 × 80 pixels; another number, another picture."""
    draws = np.random.default_rng([sum(name.encode()), number])
    background = draws.uniform(60, 200, 3)
    pixels = np.clip(background + draws.normal(0, 25, (80, 96, 3)), 0, 255)
    image = Image.fromarray(pixels.astype(np.uint8))
    left, top = draws.integers(4, 40), draws.integers(4, 30)
    box = (left, top, left + draws.integers(30, 52), top + draws.integers(26, 46))
    coat = np.clip(_COATS[name] + draws.normal(0, 14) + np.array([20, 0, -20]), 0, 255)
    ImageDraw.Draw(image).ellipse([int(x) for x in box], fill=tuple(int(x) for x in coat))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_photographs(folder: pathlib.Path, images_per_class: int = IMAGES_PER_CLASS) -> None:
    """`photos/` with a folder a class and a taxonomy.csv, and `new.jpg` beside it."""
    for name in _COATS:
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(images_per_class):
            path = folder / "photos" / name / f"{name}{number:02d}.jpg"
            path.write_bytes(photograph(name, number))
    (folder / "photos" / "taxonomy.csv").write_text(TAXONOMY, encoding="utf-8")
    (folder / "new.jpg").write_bytes(photograph("beagle", images_per_class))


def write_archives(folder: pathlib.Path) -> None:
    """`archives/`: ImageNet-21k and iNaturalist 2021 of a few images; lists of ids and nodes."""
    fakes.whole_tar(folder / "archives", fakes.small_files(60))
    for number, name in enumerate(("train_mini", "val")):
        fakes.inat_split(folder / "archives", name, 4, first_id=1000 * number)
    (folder / "ids.txt").write_text("\n".join(fakes.SYNSETS) + "\n", encoding="utf-8")
    content = {"categories": fakes.categories()}
    (folder / "val.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "own.csv").write_text(TAXONOMY, encoding="utf-8")


def write_shards(folder: pathlib.Path) -> None:
    """`shards/` as those of ImageNet-12k, of four synsets; `pets/` as Hugging Face's datasets."""
    for number, split in enumerate(("train-0000", "train-0001", "validation-000")):
        files = {}
        for image in range(48 * number, 48 * number + 48):
            label = image % len(fakes.SYNSETS)
            key = f"{fakes.SYNSETS[label]}_{image}"
            content = {"label": label, "class_name": fakes.SYNSETS[label], "width": 24}
            files[f"{key}.cls"] = str(label).encode()
            files[f"{key}.jpg"] = fakes.jpeg(image)
            files[f"{key}.json"] = json.dumps(content).encode()
        path = folder / "shards" / f"imagenet12k-{split}.tar"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(fakes.tar_bytes(files))
    (folder / "pets" / "data").mkdir(parents=True)
    animals, breeds = ["cat", "dog"], list(_COATS)
    classes = {"breed": breeds, "animal": animals}
    features = {name: {"names": names, "_type": "ClassLabel"} for name, names in classes.items()}
    features["image"] = {"_type": "Image"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, first, end in (("train", 0, 32), ("test", 32, 40)):
        rows = [
            {
                "image": {"bytes": photograph(name, number), "path": f"{name}{number}.jpg"},
                "breed": breed,
                "animal": int(name == "beagle"),
            }
            for number in range(first, end)
            for breed, name in enumerate(breeds)
        ]
        table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
        pq.write_table(table, folder / "pets" / "data" / f"{split}-00000-of-00001.parquet")


def write_shared(folder: pathlib.Path, shared: pathlib.Path, images_per_class: int = 6) -> None:
    """`../shared/data` with a few images of each class of the real archives.

    Args:
      folder: of the page; the copy lies beside it.
      shared: the real data.
      images_per_class: at most.
    """
    data = folder.parent / "shared" / "data"
    (data / "imagenet21k_mini").mkdir(parents=True)
    whole = "imagenet21k_mini/fall11_whole.tar"
    _thin(shared / "grocery.tar", data / "grocery.tar", images_per_class)
    with tarfile.open(shared / whole) as source, tarfile.open(data / whole, "w") as out:
        for member in source:
            if member.isfile():
                inner = io.BytesIO()
                _thin_tar(source.extractfile(member), inner, images_per_class)
                member.size = inner.tell()
                inner.seek(0)
                out.addfile(member, inner)
    (data / "tiny_imagenet_val").mkdir()
    val = "tiny_imagenet_val/val.tar"
    _thin(shared / val, data / val, images_per_class)


def _thin(source: pathlib.Path, out: pathlib.Path, images_per_folder: int) -> None:
    with source.open("rb") as stream, out.open("wb") as written:
        _thin_tar(stream, written, images_per_folder)


def _thin_tar(
    stream: io.BufferedIOBase, written: io.BufferedIOBase, images_per_folder: int
) -> None:
    """Copies a tar with the first images of each of its folders, and all that is no image."""
    kept: dict[str, int] = {}
    with tarfile.open(fileobj=stream) as source, tarfile.open(fileobj=written, mode="w") as out:
        for member in source:
            place, _, name = member.name.rpartition("/")
            if name.lower().endswith((".jpg", ".jpeg", ".png")):
                kept[place] = kept.get(place, 0) + 1
                if kept[place] > images_per_folder:
                    continue
            out.addfile(member, source.extractfile(member) if member.isfile() else None)
