"""A label space: how to make it, and for which images.

  fine2coarse label_space --config=labels:level --dataset=demo --data_dir=data \
    --config.label.options.level=middle --out=middle.npz

After the colon stands a source: level, cut, mixed, random, clusters, per_image, size_matched or
corrupted. Takes seconds, clusters of many images minutes. What each source's options mean stands in
docs/labels.md; options left at None do not count. Aligned sources need a target, as in
`--config.target.options.level=superclass`. A study names the same options in its arms, or the file:
`{"source": "file", "options": {"path": "middle.npz"}}`.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

_SOURCES = (
    "level",
    "cut",
    "mixed",
    "random",
    "clusters",
    "per_image",
    "size_matched",
    "corrupted",
)


def _nested() -> dict:
    """Another space, for sources that start from one."""
    options = {
        "level": placeholder(str),
        "rule": placeholder(str),
        "num_classes": placeholder(int),
        "nodes": placeholder(tuple),
        "path": placeholder(str),
    }
    return {"source": placeholder(str), "options": options}


def _options(source: str) -> dict:
    seed = {"seed": 0}
    aligned = {"aligned": True}
    return {
        "level": {"level": placeholder(str), "rule": placeholder(str)},
        "cut": {
            "num_classes": placeholder(int),
            "nodes": placeholder(tuple),
            "drop_uncovered": False,
        },
        "mixed": {"min_images": placeholder(int), "rule": "first", "drop_uncovered": False},
        "random": {
            "num_classes": placeholder(int),
            "as_many_as_level": placeholder(str),
            "like": _nested(),
            **aligned,
            **seed,
        },
        "clusters": {
            "num_clusters": placeholder(int),
            "embeddings": placeholder(str),
            "ids": placeholder(str),
            "centroids": placeholder(str),
            "spherical": False,
            "num_iterations": 25,
            "num_restarts": 3,
            "max_rows_per_cluster": 256,
            "seeding": "afk_mc2",
            **aligned,
            **seed,
        },
        "per_image": {},
        "size_matched": {
            "base": _nested(),
            "num_images_per_class": placeholder(int),
            "num_images_total": placeholder(int),
            **aligned,
            **seed,
        },
        "corrupted": {"base": _nested(), "share": placeholder(float), **aligned, **seed},
    }[source]


def get_config(source: str = "level") -> ConfigDict:
    """The options of one source, the dataset, and the target that aligned spaces stay within."""
    if source not in _SOURCES:
        raise ValueError(f"unknown source {source!r}; there are: {', '.join(_SOURCES)}")
    config = ConfigDict()
    config.dataset = ConfigDict(
        {
            "name": "demo",
            "options": {},  # set what the dataset takes: --config.dataset.options.source=FOLDER
            "train_split": "train",
            "eval_splits": (),  # empty: every other split; labelled by the same functions
        }
    )
    config.target = ConfigDict(
        {
            "source": "level",
            "options": {
                "level": placeholder(str),
                "rule": placeholder(str),
                "num_classes": placeholder(int),
                "nodes": placeholder(tuple),
                "drop_uncovered": placeholder(bool),
                "path": placeholder(str),
            },
        }
    )
    config.label = ConfigDict({"source": source, "options": _options(source)})
    if source == "clusters":
        config.sizes = ()  # several numbers of clusters: a file for each, or --advise's candidates
        config.advise = ConfigDict({"num_labelled": 500, "num_repeats": 5, "max_images": 20_000})
    return config.lock()
