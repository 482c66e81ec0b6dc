"""Scaling MLPs: a plain B-MLP pretrained on fine labels, fine-tuned on coarse ones.

  python launch/study.py --config=configs/scaling_mlps.py --workdir=runs/mlps \
    --data_dir=DIR --config.dataset.options.manual_dir=ARCHIVES
  python launch/study.py --config=configs/scaling_mlps.py:smoke --workdir=runs/mlps_smoke

Bachmann et al., arXiv 2306.13575, section 4 and its appendix: B-MLP at 64 px, Lion at 5e-5, label
smoothing 0.3, mixup 0.8, fine-tuning with SGD at 0.01 for the head and a tenth of that for the
body, test-time augmentation with 100 crops. Lines marked ‡ are ours. Not run here at full size.
`:B_12-Wi_1024` and the like choose the network; `:smoke` is a try on generated images.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

_NUM_TRAIN_IMAGES = 11_000_000  # about: ImageNet-21k without its rare classes


def get_config(form: str = "B_12-Wi_1024") -> ConfigDict:
    """A B-MLP on the leaves of ImageNet-21k, fine-tuned on a coarser level.

    Args:
      form: name of the network as in the paper, or 'smoke'.
    """
    config = ConfigDict()
    config.dataset = ConfigDict(
        {
            "name": "imagenet21k",
            "options": {"manual_dir": placeholder(str), "leaves": "present"},
            "eval_split": "validation",
        }
    )
    config.target = ConfigDict({"source": "cut", "options": {"num_classes": 1000}})  # ‡
    config.arms = ConfigDict({"level0": _level("0"), "level1": _level("1")})
    config.seeds = (0,)
    config.backbone = ConfigDict({"name": f"mlp_{form}", "image_size_px": 64})
    batch_size = 16_384
    config.pretrain = ConfigDict(
        {
            "total_steps": 800 * _NUM_TRAIN_IMAGES // batch_size,
            "batch_size": batch_size,
            "label_smoothing": 0.3,
            "mixup": 0.8,
            "optimizer": {
                "name": "lion",
                "learning_rate": 5e-5,
                "beta_2": 0.99,
                "weight_decay": 1e-3,
                "decay": "constant",
            },
            "augment": {"crop": "inception", "flip": True},
            "checkpoint_every_steps": 1000,
        }
    )
    config.transfer = ConfigDict(
        {
            "total_steps": 10_000,  # ‡
            "batch_size": batch_size,  # ‡
            "label_smoothing": 0.3,
            "mixup": 0.8,
            "optimizer": {"name": "sgd", "learning_rate": 0.01, "backbone_rate_factor": 0.1},
            "augment": {"crop": "inception", "flip": True},
            "checkpoint_every_steps": 1000,
        }
    )
    config.transfer_mode = "finetune"
    config.test_crops = 100
    if form == "smoke":
        _shrink(config)
    return config.lock()


def _level(level: str) -> ConfigDict:
    return ConfigDict({"source": "level", "options": {"level": level}})


def _shrink(config: ConfigDict) -> None:
    config.dataset = ConfigDict(
        {
            "name": "demo",
            "options": {"seed": 0, "num_train": 192, "num_test_easy": 64, "num_test_hard": 64},
        }
    )
    config.target = _level("superclass")
    config.arms = ConfigDict({"fine": _level("fine")})
    config.backbone = ConfigDict({"name": "mlp_B_2-Wi_64", "image_size_px": 32})
    config.test_crops = 3
    for phase, steps in ((config.pretrain, 30), (config.transfer, 10)):
        phase.update({"total_steps": steps, "batch_size": 32, "checkpoint_every_steps": 10})
        phase.log_every_steps = 5
