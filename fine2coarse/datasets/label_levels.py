"""Which levels the labels of shards have, as far as options say; imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fine2coarse.taxonomy.wordnet import NUM_LEVELS

WORDNET = "wordnet"
CLS, KEY = "cls", "__key__"
CLASS_LEVEL = "class"


def level_name(field: str) -> str:
    """The level of a field or column of labels: its name, or 'class' where it has none."""
    return CLASS_LEVEL if field in (CLS, KEY) else field


def levels_of_labels(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Levels of the datasets 'webdataset' and 'parquet', finest first; empty where not known.

    Args:
      options: what the dataset is given.
    """
    taxonomy = options.get("taxonomy")
    if taxonomy:
        return tuple(map(str, range(NUM_LEVELS))) if taxonomy == WORDNET else ()
    fields = options.get("label_fields") or options.get("label_columns") or ()
    return tuple(map(level_name, fields))
