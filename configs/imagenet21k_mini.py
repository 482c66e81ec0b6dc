"""The worked study: ImageNet-21k in miniature, every kind of label, several seeds.

  CARD="--config=configs/imagenet21k_mini.py:../shared/data"
  python launch/pretrain.py $CARD --arm=target --workdir=runs/mini/target --data_dir=data
  python launch/embed.py $CARD --run=runs/mini/target --l2 --out=runs/mini/e.npy --data_dir=data
  python launch/study.py $CARD --workdir=runs/mini/study --data_dir=data

200 synsets of ImageNet-21k with 200 photographs each, at 32 px (`imagenet21k_mini` in the folder
after the colon: 36,000 to train on, 4,000 held out on which the recipe was chosen), tested on
10,000 further photographs of the same synsets (`tiny_imagenet_val`), which chose nothing. The
target is a cut of 23 superclasses through WordNet, none above another, their numbers of images as
even as can be. The embeddings that are clustered are of a model trained on the target alone:
nothing but the target's labels goes into them. Arms made at random, clusters within and whole, and
the leaves have the same number of classes. It is a miniature: 3 epochs of a tiny ResNet.
"""

from ml_collections import ConfigDict

NUM_LEAVES = 200


def get_config(folder: str) -> ConfigDict:
    """The study on the images in a folder.

    Args:
      folder: holds `imagenet21k_mini/fall11_whole.tar` and `tiny_imagenet_val/val.tar`.
    """
    config = ConfigDict()
    config.dataset = ConfigDict(
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
    config.target = ConfigDict({"source": "cut", "options": {"num_classes": 23}})
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
    config.arms = ConfigDict(arms)
    config.seeds = (0, 1, 2)
    config.backbone = ConfigDict({"name": "resnet_tiny", "image_size_px": 32})
    config.pretrain = _phase(total_steps=600, warmup_steps=50)
    config.transfer = _phase(total_steps=300, warmup_steps=20)
    config.transfer_mode = "finetune"
    config.start = ConfigDict({"kind": "scratch", "source": ""})
    return config.lock()


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
