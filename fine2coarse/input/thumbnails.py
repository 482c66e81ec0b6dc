"""Small pictures of a few images, to be shown on a page. Needs TensorFlow only to read records."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fine2coarse.input.examples import Examples
from fine2coarse.input.pillow_decoding import EncodedImage

_QUALITY = 90
_SUBSAMPLING_444 = 0


def jpeg_thumbnails(
    examples: Examples, image_ids: Sequence[str], *, side_px: int = 128
) -> dict[str, bytes]:
    """JPEG files of some images, whole, none larger than a square of `side_px`.

    Images that the examples do not hold are left out; none is enlarged.

    Raises:
      UsageError: where a stored image cannot be decoded.
    """
    rows = examples.image_ids.rows_of(list(image_ids))
    wanted = np.zeros(len(examples), bool)
    wanted[rows[rows >= 0]] = True
    chosen = examples.subset(wanted)
    return {
        image_id: _thumbnail(_picture(chosen, row), side_px)
        for row, image_id in enumerate(chosen.image_ids)
    }


def _picture(examples: Examples, row: int) -> Image.Image:
    if hasattr(examples.images, "decoded"):
        return Image.fromarray(examples.images.decoded(row))
    image = examples.images[row]
    image = image.numpy() if hasattr(image, "numpy") else image
    if isinstance(image, bytes):
        return EncodedImage(image).upright()
    return Image.fromarray(np.asarray(image))


def _thumbnail(image: Image.Image, side_px: int) -> bytes:
    if max(image.size) > side_px:
        shorter = max(1, round(min(image.size) * side_px / max(image.size)))
        size = (side_px, shorter) if image.width > image.height else (shorter, side_px)
        image = image.resize(size, Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=_SUBSAMPLING_444)
    return buffer.getvalue()
