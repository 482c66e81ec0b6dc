"""Small pictures of a few images, to be shown on a page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from fine2coarse.input.decoding import decode_upright
from fine2coarse.input.examples import Examples

_QUALITY = 90


def jpeg_thumbnails(
    examples: Examples, image_ids: Sequence[str], *, side_px: int = 128
) -> dict[str, bytes]:
    """JPEG files of some images, whole, none larger than a square of `side_px`.

    Images that the examples do not hold are left out; none is enlarged.
    """
    rows = examples.image_ids.rows_of(list(image_ids))
    wanted = np.zeros(len(examples), bool)
    wanted[rows[rows >= 0]] = True
    chosen = examples.subset(wanted)
    return {
        image_id: _thumbnail(chosen.images[row], side_px)
        for row, image_id in enumerate(chosen.image_ids)
    }


def _thumbnail(image: tf.Tensor, side_px: int) -> bytes:
    if image.dtype == tf.string:
        image = decode_upright(image)
    height, width = int(image.shape[0]), int(image.shape[1])
    if max(height, width) > side_px:
        shrunk = tf.image.resize(
            image, (side_px, side_px), preserve_aspect_ratio=True, antialias=True
        )
        image = tf.cast(tf.clip_by_value(tf.round(shrunk), 0, 255), tf.uint8)
    return tf.io.encode_jpeg(image, quality=_QUALITY, chroma_downsampling=False).numpy()
