"""One class for each image: the finest labels there are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.labels.space import LabelSpace, as_image_ids


def per_image(image_ids: Sequence[str], *, dataset_fingerprint: str) -> LabelSpace:
    """One class for each of the given (training) images.

    Images of other splits have no class here, so there is nothing to validate on.
    """
    ids = as_image_ids(image_ids)
    return LabelSpace(
        class_ids=ids,
        class_names=ids,
        table=np.arange(len(ids), dtype=np.int32)[:, None],
        keyed_by="image",
        image_ids=ids,
        name="per-image",
        dataset_fingerprint=dataset_fingerprint,
        source={"kind": "per_image"},
    )
