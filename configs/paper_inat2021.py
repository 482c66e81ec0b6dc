"""iNat2021 mini: which labels to pretrain on, when the task is its 11 superclasses.

  fine2coarse study --config=paper_inat2021:smoke --workdir=runs/inat_smoke \
    --config.dataset.options.source=../shared/data/grocery.tar

is a try; the study itself, on the archives that you have, is `fine2coarse study
--config=paper_inat2021 --workdir=runs/inat --config.dataset.options.manual_dir=ARCHIVES`.

Hong et al., arXiv 2303.16887: ResNet-34 and ResNet-50 on the 500,000 images of the mini set,
transferred to the 11 superclasses; these lines are unmarked. The paper's training settings were not
at hand: † are the usual ImageNet recipe of ResNets (Goyal et al., arXiv 1706.02677, sections 2.2
and 5.1), ‡ are ours. Of that recipe two things differ: the learning rate falls by a cosine, not in
three steps, and the last norm of a block starts at 1, not at 0. Not run here: the images are not on
this machine. `:resnet50` is the other backbone; `:smoke` is a try of minutes on the Grocery Store
photographs.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.recipes.card import recipe_card

_NUM_TRAIN_IMAGES = 500_000
# † 1e-4 as an L2 penalty, whose gradient the momentum of 0.9 multiplies by 1 / (1 - 0.9); our decay
# is decoupled from it.
_WEIGHT_DECAY = 1e-4 / (1 - 0.9)
_LEVELS = ("kingdom", "phylum", "class", "order", "family", "genus", "species")


def get_config(form: str = "resnet34") -> ConfigDict:
    """Every level, random ids and one label per image, against the superclasses alone.

    Args:
      form: 'resnet34', 'resnet50' or 'smoke'.
    """
    if form not in ("resnet34", "resnet50", "smoke"):
        raise ValueError(f"expected resnet34, resnet50 or smoke after the colon, got {form!r}")
    batch_size = 256  # †
    epoch = _NUM_TRAIN_IMAGES // batch_size
    config = recipe_card()
    config.dataset.update(
        {
            "name": "inat2021",
            "options": {"manual_dir": placeholder(str)},
            "train_split": "mini",
            "eval_split": "val",
        }
    )
    config.target = _level("supercategory")
    config.arms = ConfigDict(
        {
            **{level: _level(level) for level in _LEVELS},
            "random": {"source": "random", "options": {"as_many_as_level": "species"}},
            "per_image": {"source": "per_image"},
        }
    )
    config.seeds = (0, 1, 2)  # ‡
    config.backbone.update({"name": form, "image_size_px": 224})  # † size
    augment = {"crop": "inception", "flip": True}  # †
    config.pretrain.update(
        {
            "total_steps": 90 * epoch,  # †
            "batch_size": batch_size,
            "optimizer": {
                "learning_rate": 0.1,  # † for a batch of 256
                "momentum": 0.9,  # † Nesterov
                "weight_decay": _WEIGHT_DECAY,
                "warmup_steps": 5 * epoch,  # †
                "decay": "cosine",  # ‡
            },
            "augment": augment,
            "checkpoint_every_steps": epoch,
        }
    )
    config.transfer.update(
        {
            "total_steps": 20 * epoch,  # ‡ as all of this phase
            "batch_size": batch_size,
            "optimizer": {
                "learning_rate": 0.01,
                "weight_decay": _WEIGHT_DECAY,
                "warmup_steps": epoch,
            },
            "augment": augment,
            "checkpoint_every_steps": epoch,
        }
    )
    if form == "smoke":
        _shrink(config)
    return config.lock()


def _level(level: str) -> ConfigDict:
    return ConfigDict({"source": "level", "options": {"level": level}})


def _shrink(config: ConfigDict) -> None:
    """The same on the Grocery Store data (81 fine, 43 coarse, 3 macro classes) at 32 px."""
    config.dataset.options = ConfigDict()
    config.dataset.update(
        {
            "name": "folder",
            "options": {"source": placeholder(str)},
            "train_split": "train",
            "eval_split": "test",
        }
    )
    config.target = _level("macro")
    config.arms = ConfigDict(
        {
            "coarse": _level("coarse"),
            "fine": _level("fine"),
            "random": {"source": "random", "options": {"as_many_as_level": "fine"}},
            "per_image": {"source": "per_image"},
        }
    )
    config.seeds = (0,)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 32})
    for phase, steps in ((config.pretrain, 150), (config.transfer, 50)):
        phase.update({"total_steps": steps, "batch_size": 32, "checkpoint_every_steps": 50})
        phase.optimizer.warmup_steps = 5
