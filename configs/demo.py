"""The demo: generated images in which fine labels have something to teach.

  fine2coarse study --config=demo --workdir=runs/demo
  fine2coarse study --config=demo:smoke --workdir=runs/smoke

Takes about 5 minutes on two CPU cores. With three seeds: see docs/results.md for what it printed.
"""

from ml_collections import ConfigDict

from fine2coarse.recipes.card import recipe_card


def get_config(size: str = "full") -> ConfigDict:
    """Four superclasses are the task; 8 middle and 32 fine classes lie below.

    Args:
      size: 'full', or 'smoke' for a try of a few seconds that shows nothing but that all works.
    """
    if size not in ("full", "smoke"):
        raise ValueError(f"expected demo or demo:smoke, got {size!r}")
    config = recipe_card()
    config.dataset.update({"name": "demo", "options": {"seed": 0}})
    config.target = ConfigDict({"source": "level", "options": {"level": "superclass"}})
    arms = {
        "middle": {"source": "level", "options": {"level": "middle"}},
        "fine": {"source": "level", "options": {"level": "fine"}},
        "random": {"source": "random", "options": {"as_many_as_level": "fine"}},
        "per_image": {"source": "per_image"},
    }
    own_steps = {"pretrain_steps": 0, "transfer_steps": 0}  # 0: those of the study
    config.arms = ConfigDict({name: {**arm, **own_steps} for name, arm in arms.items()})
    config.seeds = (0, 1, 2)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 32})
    augment = {"crop": "none", "flip": False}
    config.pretrain.update(
        {
            "total_steps": 200,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.2, "weight_decay": 5e-4, "warmup_steps": 20},
            "augment": augment,
            "checkpoint_every_steps": 100,
        }
    )
    config.transfer.update(
        {
            "total_steps": 40,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.01, "warmup_steps": 5},
            "augment": augment,
            "checkpoint_every_steps": 40,
        }
    )
    if size == "smoke":
        _shrink(config)
    return config.lock()


def _shrink(config: ConfigDict) -> None:
    config.dataset.options.update({"num_train": 192, "num_test_easy": 64, "num_test_hard": 64})
    config.seeds = (0,)
    for phase, steps in ((config.pretrain, 12), (config.transfer, 8)):
        phase.update({"total_steps": steps, "batch_size": 16, "checkpoint_every_steps": 4})
        phase.optimizer.warmup_steps = 2
        phase.log_every_steps = 2
