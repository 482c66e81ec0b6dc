"""iNat2021 mini: which labels to pretrain on, when the task is its 11 superclasses.

  python launch/study.py --config=configs/paper_inat2021.py --workdir=runs/inat \
    --data_dir=DIR --config.dataset.options.manual_dir=ARCHIVES
  python launch/study.py --config=configs/paper_inat2021.py:smoke --workdir=runs/inat_smoke \
    --config.dataset.options.source=../shared/data/grocery.tar

Hong et al., arXiv 2303.16887, section 4: ResNet-34 and ResNet-50 on the 500,000 images of the mini
set, transferred to the 11 superclasses. The paper does not state all of its training settings;
lines marked † come from the usual ImageNet recipe of ResNets (Goyal et al., arXiv 1706.02677) and
‡ are ours. Not run here: the images are not on this machine. `:resnet50` is the other backbone;
`:smoke` runs the same recipe, much smaller, on the Grocery Store photographs in minutes.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

_NUM_TRAIN_IMAGES = 500_000
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
    config = ConfigDict()
    config.dataset = ConfigDict(
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
    config.backbone = ConfigDict({"name": form, "image_size_px": 224})
    augment = {"crop": "inception", "flip": True}  # †
    config.pretrain = ConfigDict(
        {
            "total_steps": 90 * epoch,  # †
            "batch_size": batch_size,
            "optimizer": {"learning_rate": 0.1, "weight_decay": 1e-4, "warmup_steps": 5 * epoch},
            "augment": augment,
            "checkpoint_every_steps": epoch,
        }
    )
    config.transfer = ConfigDict(
        {
            "total_steps": 20 * epoch,  # ‡
            "batch_size": batch_size,
            "optimizer": {"learning_rate": 0.01, "weight_decay": 1e-4, "warmup_steps": epoch},
            "augment": augment,
            "checkpoint_every_steps": epoch,
        }
    )
    config.transfer_mode = "finetune"
    if form == "smoke":
        _shrink(config)
    return config.lock()


def _level(level: str) -> ConfigDict:
    return ConfigDict({"source": "level", "options": {"level": level}})


def _shrink(config: ConfigDict) -> None:
    """The same on the Grocery Store data (81 fine, 43 coarse, 3 macro classes) at 32 px."""
    config.dataset = ConfigDict(
        {"name": "folder", "options": {"source": placeholder(str)}, "eval_split": "test"}
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
    config.backbone = ConfigDict({"name": "resnet_tiny", "image_size_px": 32})
    for phase, steps in ((config.pretrain, 40), (config.transfer, 20)):
        phase.update({"total_steps": steps, "batch_size": 32, "checkpoint_every_steps": 20})
        phase.optimizer.warmup_steps = 5
        phase.log_every_steps = 10
