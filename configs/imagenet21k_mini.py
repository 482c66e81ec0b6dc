"""The worked study: ImageNet-21k in miniature, every kind of label, several seeds.

  CARD="--config=imagenet21k_mini:../shared/data"
  fine2coarse pretrain $CARD --arm=target --workdir=runs/mini/target --data_dir=data
  fine2coarse embed $CARD --run=runs/mini/target --l2 --out=runs/mini/e.npy --data_dir=data
  fine2coarse study $CARD --workdir=runs/mini/study --data_dir=data

The first two lines are for the clusters; `:../shared/data,few` needs none: leaves, and random ids
within the target as their control. `:../shared/data,uneven,few` has another target,
`:../shared/data,middle,few` and `:../shared/data,short,few` have a third and a fifth of the steps.

200 synsets of ImageNet-21k with 200 photographs each, at 32 px (`imagenet21k_mini` in the folder
after the colon: 36,000 to train on, 4,000 held out on which the recipe was chosen), tested on
10,000 further photographs of the same synsets (`tiny_imagenet_val`), which chose nothing. The
target is a cut of 23 superclasses through WordNet, none above another, their numbers of images as
even as can be; `uneven` is a list of 15 nodes, of 1 to 75 leaves each. The embeddings that are
clustered are of a model trained on the target alone: nothing but the target's labels goes into
them. Arms made at random, clusters within and whole, and the leaves have the same number of
classes. It is a miniature: ten passes of a tiny ResNet over the images.
"""

from ml_collections import ConfigDict

from fine2coarse.recipes.card import recipe_card

NUM_LEAVES = 200
# Steps of pretraining and transfer: 10, 3.4 and 2 passes over the images that are trained on.
STEPS = {"long": (2200, 350), "middle": (700, 150), "short": (400, 100)}
# Mammal, invertebrate, bird, amphibian, diapsid, fish, instrumentality, covering, structure,
# durables, plaything, food, vegetable, plant organ and geological formation, in WordNet 3.0.
UNEVEN = (
    "n01861778", "n01905661", "n01503061", "n01627424", "n01661818", "n02512053", "n03575240",
    "n03122748", "n04341686", "n03257877", "n03964744", "n00021265", "n07707451", "n13087625",
    "n09287968",
)  # fmt: skip


def get_config(arguments: str = "") -> ConfigDict:
    """The study on the images in a folder.

    Args:
      arguments: a folder, which holds `imagenet21k_mini/fall11_whole.tar` and
        `tiny_imagenet_val/val.tar`; then, each after a comma and in any order, 'uneven' for the
        target of 15 nodes, 'middle' or 'short' for fewer steps, 'few' for two arms.
    """
    folder, *words = arguments.split(",")
    unknown = set(words) - {"uneven", "few", *STEPS}
    if unknown or not folder:
        raise ValueError(
            f"expected FOLDER[,uneven][,middle|short][,few] after the colon, got {arguments!r}"
        )
    config = recipe_card()
    config.dataset.update(
        {
            "name": "imagenet21k",
            "options": {
                "manual_dir": f"{folder}/imagenet21k_mini",
                "leaves": "present",
                "num_validation": 4000,
            },
            "eval_split": "validation",
            "train_fraction": 1.0,
        }
    )
    config.evaluation = ConfigDict(
        {
            "name": "folder",
            "options": {"source": f"{folder}/tiny_imagenet_val/val.tar", "flat": True},
            "split": "val",
        }
    )
    cut = {"nodes": UNEVEN} if "uneven" in words else {"num_classes": 23}
    config.target = ConfigDict({"source": "cut", "options": cut})
    config.arms = ConfigDict(_few() if "few" in words else _all())
    config.seeds = (0, 1, 2)
    config.backbone.update({"name": "resnet_tiny", "image_size_px": 32})
    budget = next((word for word in words if word in STEPS), "long")
    pretrain_steps, transfer_steps = STEPS[budget]
    config.pretrain.update(_phase(total_steps=pretrain_steps, warmup_steps=50))
    config.transfer.update(_phase(total_steps=transfer_steps, warmup_steps=20))
    return config.lock()


def _few() -> dict[str, dict]:
    """The leaves, and their control: as many random ids within the target."""
    return {
        "level0": _arm("level", level="0"),
        "random_aligned": _arm("random", num_classes=NUM_LEAVES, aligned=True),
    }


def _all() -> dict[str, dict]:
    arms = {f"level{hops}": _arm("level", level=str(hops)) for hops in range(5)}
    arms["cut100"] = _arm("cut", num_classes=100)
    for aligned in (True, False):
        name = "aligned" if aligned else "unaligned"
        arms[f"random_{name}"] = _arm("random", num_classes=NUM_LEAVES, aligned=aligned)
    for aligned in (True, False):
        arms[f"clusters_{'within' if aligned else 'whole'}"] = _arm(
            "clusters", num_clusters=NUM_LEAVES, aligned=aligned, embeddings="runs/mini/e.npy"
        )
    arms["per_image"] = _arm("per_image")
    return arms


def _arm(source: str, **options: object) -> dict:
    """An arm; `pretrain_steps` and `transfer_steps` of 0 stand for those of the study."""
    return {"source": source, "options": options, "pretrain_steps": 0, "transfer_steps": 0}


def _phase(total_steps: int, warmup_steps: int) -> ConfigDict:
    return ConfigDict(
        {
            "total_steps": total_steps,
            "batch_size": 128,
            "optimizer": {
                "learning_rate": 0.1,
                "weight_decay": 5e-4,
                "warmup_steps": warmup_steps,
            },
            "augment": {"crop": "shift", "flip": True},
            "checkpoint_every_steps": 300,
        }
    )
