"""The demo: generated images in which fine labels have something to teach.

  python launch/study.py --config=configs/demo.py --workdir=runs/demo

Takes about 5 minutes on two CPU cores. With three seeds: see README for what it printed.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Four superclasses are the task; 8 middle and 32 fine classes lie below."""
    config = ConfigDict()
    config.dataset = ConfigDict({"name": "demo", "options": {"seed": 0}})
    config.target = ConfigDict({"source": "level", "options": {"level": "superclass"}})
    config.arms = ConfigDict(
        {
            "middle": {"source": "level", "options": {"level": "middle"}},
            "fine": {"source": "level", "options": {"level": "fine"}},
            "random": {"source": "random", "options": {"as_many_as_level": "fine"}},
            "per_image": {"source": "per_image"},
        }
    )
    config.seeds = (0, 1, 2)
    config.backbone = ConfigDict({"name": "resnet_tiny", "image_size_px": 32})
    augment = {"crop": "none", "flip": False}
    config.pretrain = ConfigDict(
        {
            "total_steps": 400,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.2, "weight_decay": 5e-4, "warmup_steps": 20},
            "augment": augment,
            "checkpoint_every_steps": 200,
        }
    )
    config.transfer = ConfigDict(
        {
            "total_steps": 100,
            "batch_size": 64,
            "optimizer": {"learning_rate": 0.01, "warmup_steps": 5},
            "augment": augment,
            "checkpoint_every_steps": 50,
        }
    )
    config.transfer_mode = "finetune"
    return config.lock()
