"""Scaling MLPs: a plain B-MLP pretrained on ImageNet-21k, fine-tuned on ImageNet-1k.

  fine2coarse study --config=scaling_mlps:smoke --workdir=runs/mlps_smoke

is a try; the study itself, on the archives that you have, is `fine2coarse study
--config=scaling_mlps --workdir=runs/mlps --data_dir=DIR
--config.dataset.options.manual_dir=ARCHIVES`.

Bachmann et al., arXiv 2306.13575: B-MLP at 64 px, Lion at 5e-5, label smoothing 0.3, crops, flips
and mixup; these lines are unmarked. † are the authors' programs, github.com/gregorbachmann/
scaling_mlps (README, train.py, finetune.py, utils/parsers.py), ‡ are ours. They train on 11,801,680
images of 11,230 classes, ImageNet-21k without its rare ones; here all classes are kept. Not run
here at full size. `:B_12-Wi_1024` and the like choose the network; `:smoke` is a try of minutes on
generated images.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from fine2coarse.recipes.card import recipe_card

_NUM_TRAIN_IMAGES = 14_197_122 - 102_400  # fall11_whole.tar, less what is held out


def get_config(form: str = "B_12-Wi_1024") -> ConfigDict:
    """A B-MLP on the leaves of ImageNet-21k and on the level above.

    Args:
      form: name of the network as in the paper, or 'smoke'.
    """
    config = recipe_card()
    config.dataset.update(
        {
            "name": "imagenet21k",
            "options": {"manual_dir": placeholder(str), "leaves": "present"},
            "eval_split": "validation",
        }
    )
    config.transfer_dataset = ConfigDict(
        {"name": "tfds", "options": {"name": "imagenet2012"}, "eval_split": "validation"}
    )
    config.target = _level("0")
    config.arms = ConfigDict({"level0": _level("0"), "level1": _level("1")})  # ‡ level1
    config.seeds = (0,)
    config.backbone.update({"name": f"mlp_{form}", "image_size_px": 64})
    batch_size = 16_384  # †
    config.pretrain.update(
        {
            "total_steps": 800 * _NUM_TRAIN_IMAGES // batch_size,  # † 800 epochs
            "batch_size": batch_size,
            "label_smoothing": 0.3,
            "mixup": 0.8,  # †, one draw a batch there, one a pair of images here
            "optimizer": {
                "name": "lion",
                "learning_rate": 5e-5,
                "beta_1": 0.9,  # †
                "beta_2": 0.99,  # †
                "weight_decay": 0.0,  # †
                "decay": "constant",  # †
            },
            "augment": {"crop": "inception", "flip": True},
            "checkpoint_every_steps": 1000,
        }
    )
    config.transfer.update(
        {
            "total_steps": 62_560,  # † 100 epochs of 1,281,167 images
            "batch_size": 2048,  # †
            "label_smoothing": 0.3,  # †
            "optimizer": {
                "name": "sgd",
                "learning_rate": 0.01,  # †
                "momentum": 0.9,  # †, there without Nesterov's step
                "backbone_rate_factor": 0.1,  # †
                "decay": "constant",  # †
                "max_gradient_norm": 1.0,  # †
            },
            "augment": {"crop": "inception", "flip": True, "min_area": 0.4},  # † of CIFAR-10
            "checkpoint_every_steps": 1000,
        }
    )
    config.test_crops = 100  # †
    if form == "smoke":
        _shrink(config)
    return config.lock()


def _level(level: str) -> ConfigDict:
    return ConfigDict({"source": "level", "options": {"level": level}})


def _shrink(config: ConfigDict) -> None:
    config.dataset.options = ConfigDict()
    config.dataset.update(
        {
            "name": "demo",
            "options": {"seed": 0, "num_train": 192, "num_test_easy": 64, "num_test_hard": 64},
            "eval_split": "test",
        }
    )
    config.transfer_dataset = None
    config.target = _level("superclass")
    config.arms = ConfigDict({"fine": _level("fine")})
    config.backbone.update({"name": "mlp_B_2-Wi_64", "image_size_px": 32})
    config.test_crops = 3
    for phase, steps in ((config.pretrain, 12), (config.transfer, 4)):
        phase.update({"total_steps": steps, "batch_size": 32, "checkpoint_every_steps": 4})
        phase.log_every_steps = 4
