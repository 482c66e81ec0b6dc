"""Every way to label: levels, mixed levels, random ids, clusters, one label per image.

  fine2coarse pretrain --config=label_sources --arm=target --workdir=runs/target --data_dir=data
  fine2coarse embed --config=label_sources --run=runs/target --l2 --out=runs/e.npy --data_dir=data
  fine2coarse study --config=label_sources --workdir=runs/labels --data_dir=data

on 40,000 photographs of 200 synsets (ImageNet-21k in miniature: --config.dataset.options.manual_dir
is the folder with fall11_whole.tar), at 32 px, with a tiny ResNet. The target is a cut of about 23
superclasses through WordNet, none above another, their numbers of images as even as can be. All
arms but levels, mixed and per image have as many classes as there are synsets. The clusters are of
the target model's own embeddings, which the first two lines make: nothing but the target's labels
goes into them. Sized for two CPU cores; docs/labels.md holds what it printed.

  DEMO="--config=label_sources:demo --data_dir=data"
  fine2coarse pretrain $DEMO --arm=target --workdir=runs/demo_target
  fine2coarse embed $DEMO --run=runs/demo_target --l2 --out=runs/e_demo.npy
  fine2coarse study $DEMO --workdir=runs/sizes

is the same on the demo's generated images, whose 4 superclasses have 32 fine classes: clusters of
several sizes, to set beside what `fine2coarse label_space --advise` says about them.
"""

from ml_collections import ConfigDict

from fine2coarse.recipes.card import recipe_card

# Relative to the folder that the study is started in.
_OF_PHOTOGRAPHS, _OF_DEMO = "runs/e.npy", "runs/e_demo.npy"


def _clusters(num_clusters: int, aligned: bool, embeddings: str) -> dict:
    options = {"num_clusters": num_clusters, "aligned": aligned, "embeddings": embeddings}
    return {"source": "clusters", "options": options}


def _random(num_classes: int, aligned: bool) -> dict:
    return {"source": "random", "options": {"num_classes": num_classes, "aligned": aligned}}


def _level(level: str) -> dict:
    return {"source": "level", "options": {"level": level}}


def get_config(images: str = "photographs") -> ConfigDict:
    """The study on `photographs`, on the `demo`, or a `smoke` try of seconds on the demo."""
    if images not in ("photographs", "demo", "smoke"):
        raise ValueError(f"expected photographs, demo or smoke after the colon, got {images!r}")
    sizes = (8, 32) if images == "smoke" else (8, 32, 128, 512)
    config = _photographs() if images == "photographs" else _demo(sizes)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 32})
    if images == "smoke":
        config.dataset.options.update({"num_train": 192, "num_test_easy": 64, "num_test_hard": 64})
        config.seeds = (0,)
        config.pretrain.update({"total_steps": 6, "batch_size": 16})
        config.pretrain.optimizer.warmup_steps = 2
        config.transfer.update({"total_steps": 3, "batch_size": 16})
        config.transfer.optimizer.warmup_steps = 1
    return config.lock()


def _photographs() -> ConfigDict:
    config = recipe_card()
    config.dataset.update(
        {
            "name": "imagenet21k",
            "options": {
                "manual_dir": "../shared/data/imagenet21k_mini",
                "leaves": "present",
                "num_validation": 4000,
            },
            "eval_split": "validation",
        }
    )
    config.target = ConfigDict({"source": "cut", "options": {"num_classes": 23}})
    config.arms = ConfigDict(
        {
            "level0": _level("0"),
            "level2": _level("2"),
            "mixed": {"source": "mixed", "options": {"min_images": 180}},
            "random_aligned": _random(200, aligned=True),
            "random_unaligned": _random(200, aligned=False),
            "clusters_within": _clusters(200, True, _OF_PHOTOGRAPHS),
            "clusters_whole": _clusters(200, False, _OF_PHOTOGRAPHS),
            "per_image": {"source": "per_image"},
        }
    )
    config.seeds = (0, 1)
    augment = {"crop": "shift", "flip": True}
    config.pretrain.update(_phase(800, 0.1, 50, augment))
    config.transfer.update(_phase(200, 0.02, 20, augment))
    return config


def _demo(sizes: tuple[int, ...]) -> ConfigDict:
    config = recipe_card()
    config.dataset.update({"name": "demo", "options": {}})
    config.target = ConfigDict(_level("superclass"))
    arms = {f"within{number}": _clusters(number, True, _OF_DEMO) for number in sizes}
    arms |= {f"whole{number}": _clusters(number, False, _OF_DEMO) for number in sizes}
    config.arms = ConfigDict(arms | {"per_image": {"source": "per_image"}})
    config.seeds = (0, 1)
    augment = {"crop": "none", "flip": False}
    config.pretrain.update(_phase(400, 0.2, 20, augment))
    config.transfer.update(_phase(100, 0.01, 5, augment))
    return config


def _phase(total_steps: int, learning_rate: float, warmup_steps: int, augment: dict) -> ConfigDict:
    optimizer = {"learning_rate": learning_rate, "weight_decay": 5e-4, "warmup_steps": warmup_steps}
    return ConfigDict(
        {
            "total_steps": total_steps,
            "batch_size": 64,
            "optimizer": optimizer,
            "augment": augment,
            "checkpoint_every_steps": total_steps // 2,
        }
    )
