"""A builder's taxonomy, stored with the prepared data so that the folder alone is enough."""

from __future__ import annotations

import tensorflow_datasets as tfds

from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.taxonomy import Taxonomy

_KEY = "taxonomy"


def metadata(taxonomy: Taxonomy) -> tfds.core.MetadataDict:
    """What to give `DatasetInfo` as metadata."""
    return tfds.core.MetadataDict({_KEY: taxonomy.to_json()})


def read(info: tfds.core.DatasetInfo) -> Taxonomy:
    """The taxonomy that `metadata` stored.

    Raises:
      UsageError: where the prepared data has none.
    """
    if not info.metadata or _KEY not in info.metadata:
        raise UsageError(f"{info.full_name}: the prepared data names no taxonomy; prepare it again")
    return Taxonomy.from_json(info.metadata[_KEY])
