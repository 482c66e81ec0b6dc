"""Your own photographs: an image folder (or a tar or zip of one) with a taxonomy.csv.

  fine2coarse study --config=folder:photos,small --workdir=runs/try --data_dir=data
  fine2coarse study --config=folder:photos@animal --workdir=runs/photos --data_dir=data

`photos` is the folder, or a tar or zip of it. The levels are those of its taxonomy.csv. The target
is the level after @; without one it is the second from the top, or the top of two. Every other
level, random labels and one label per image are the arms. `small` is for a first try, and for a
handful of photographs: one seed, few steps of 16 images, no arm of one label per image; about a
minute on two CPU cores. It shows that all works, and little else.

Where the folder is not there to be read, as when it is deleted after it was prepared, its levels
are given instead, finest first, and its path by a flag:

  fine2coarse study --config=folder:fine,coarse,macro@coarse --workdir=runs/grocery \
    --config.dataset.options.source=../shared/data/grocery.tar

docs/results.md holds what the grocery study printed.
"""

import pathlib

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.datasets.folder_layout import TAXONOMY_FILE
from fine2coarse.datasets.folder_survey import read_levels
from fine2coarse.nearest import nearest, unknown
from fine2coarse.paths import expand
from fine2coarse.recipes.card import recipe_card
from fine2coarse.taxonomy.level_names import counted

SMALL = "small"
# Steps of pretraining and transfer, and images a step.
FULL_STEPS, FULL_BATCH, SMALL_STEPS, SMALL_BATCH = (400, 100), 64, (60, 20), 16


def get_config(photographs: str = "fine,coarse,macro@coarse") -> ConfigDict:
    """A small ResNet at 64 px.

    Args:
      photographs: path of the folder or archive, or names of its levels, finest first; after @ the
        target's level; then ',small' for a try.
    """
    rest, is_small = _without_small(photographs)
    source, levels, target = _source_and_levels(rest)
    config = recipe_card()
    config.dataset.update(
        {"name": "folder", "options": {"source": source or placeholder(str)}, "eval_split": "test"}
    )
    config.target = ConfigDict({"source": "level", "options": {"level": target}})
    arms = {
        name: {"source": "level", "options": {"level": name}} for name in levels if name != target
    }
    arms["random"] = {"source": "random", "options": {"as_many_as_level": levels[0]}}
    if not is_small:
        arms["per_image"] = {"source": "per_image"}
    own_steps = {"pretrain_steps": 0, "transfer_steps": 0}  # 0: those of the study
    config.arms = ConfigDict({name: {**arm, **own_steps} for name, arm in arms.items()})
    config.seeds = (0,) if is_small else (0, 1, 2)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 64})
    steps, batch_size = (SMALL_STEPS, SMALL_BATCH) if is_small else (FULL_STEPS, FULL_BATCH)
    warmups = (10, 5) if is_small else (50, 10)
    for phase, total, warmup in zip((config.pretrain, config.transfer), steps, warmups):
        phase.update(
            {
                "total_steps": total,
                "batch_size": batch_size,
                "optimizer": {"learning_rate": 0.1, "weight_decay": 5e-4, "warmup_steps": warmup},
                "augment": {"crop": "inception", "flip": True, "min_area": 0.25},
                "checkpoint_every_steps": 20 if is_small else 100,
            }
        )
        if is_small:
            phase.log_every_steps = 10
    return config.lock()


def _exists(path: str) -> bool:
    return pathlib.Path(expand(path)).exists()


def _holds_photographs(path: str) -> bool:
    """Whether it is an archive, or a folder of photographs and not one called like a level."""
    found = pathlib.Path(expand(path))
    return found.is_file() or (found / TAXONOMY_FILE).is_file()


def _without_small(text: str) -> tuple[str, bool]:
    rest, comma, last = text.rpartition(",")
    return (rest, True) if comma and last == SMALL else (text, False)


def _source_and_levels(text: str) -> tuple[str, tuple[str, ...], str]:
    """The path, which is empty where levels are named; the levels, finest first; the target."""
    path, at, target = text.rpartition("@")
    if _exists(text) or not at:  # an @ may stand in a path
        path, target = text, ""
    if _exists(path):
        source, levels = path, read_levels(pathlib.Path(expand(path)))
    elif "," not in path or _holds_photographs(path.partition(",")[0]):
        hint = f"; did you mean ,{SMALL}?" if nearest(path.rpartition(",")[2], [SMALL]) else ""
        raise ValueError(
            f"{path!r}: no such folder or archive (a path is relative to the working directory); "
            "expected folder:PATH[@LEVEL][,small]; where the photographs are gone, "
            "folder:FINEST,…,TOP[@LEVEL][,small] with --config.dataset.options.source=PATH"
            f"{hint}"
        )
    else:
        source, levels = "", tuple(path.split(","))
    target = target or levels[-2 if len(levels) > 2 else -1]
    if target not in levels and not counted(target):
        raise ValueError(unknown("level", target, (*levels, "hops:K", "depth:K")))
    return source, levels, target
