"""Your own photographs: an image folder (or a tar of one) with a taxonomy.csv.

  fine2coarse study --config=folder --workdir=runs/grocery \
    --config.dataset.options.source=../shared/data/grocery.tar

The target is the level `coarse`; every other level, random labels and one label per image are the
arms. Other level names are passed finest first, with the target's after @:
`--config=folder:species,genus,family@genus`. README holds what the grocery study
printed.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.recipes.card import recipe_card


def get_config(levels: str = "fine,coarse,macro@coarse") -> ConfigDict:
    """A small ResNet at 64 px.

    Args:
      levels: names of the taxonomy's levels, finest first, and after @ the target's.
    """
    names, _, target = levels.partition("@")
    ordered = names.split(",")
    target = target or ordered[-2 if len(ordered) > 2 else -1]
    if target not in ordered:
        raise ValueError(f"target level {target!r} is not among {ordered}")
    config = recipe_card()
    config.dataset.update(
        {"name": "folder", "options": {"source": placeholder(str)}, "eval_split": "test"}
    )
    config.target = ConfigDict({"source": "level", "options": {"level": target}})
    arms = {
        name: {"source": "level", "options": {"level": name}} for name in ordered if name != target
    }
    arms["random"] = {"source": "random", "options": {"as_many_as_level": ordered[0]}}
    arms["per_image"] = {"source": "per_image"}
    own_steps = {"pretrain_steps": 0, "transfer_steps": 0}  # 0: those of the study
    config.arms = ConfigDict({name: {**arm, **own_steps} for name, arm in arms.items()})
    config.seeds = (0, 1, 2)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 64})
    augment = {"crop": "inception", "flip": True, "min_area": 0.25}
    config.pretrain.update(
        {
            "total_steps": 400,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.1, "weight_decay": 5e-4, "warmup_steps": 50},
            "augment": augment,
            "checkpoint_every_steps": 100,
        }
    )
    config.transfer.update(
        {
            "total_steps": 100,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.1, "weight_decay": 5e-4, "warmup_steps": 10},
            "augment": augment,
            "checkpoint_every_steps": 100,
        }
    )
    return config.lock()
