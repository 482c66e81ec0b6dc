"""Every way to label a dataset, under one import."""

from fine2coarse.labels.apportion import share_out
from fine2coarse.labels.clusters import assigned, clusters, powers_of_two
from fine2coarse.labels.corrupted import corrupted
from fine2coarse.labels.cut import chosen_nodes, cut
from fine2coarse.labels.level import level
from fine2coarse.labels.mixed import mixed
from fine2coarse.labels.per_image import per_image
from fine2coarse.labels.random_ids import random_ids, random_like, random_within
from fine2coarse.labels.size_matched import fixed_images_per_class, fixed_total_images

__all__ = [
    "assigned",
    "chosen_nodes",
    "clusters",
    "corrupted",
    "cut",
    "fixed_images_per_class",
    "fixed_total_images",
    "level",
    "mixed",
    "per_image",
    "powers_of_two",
    "random_ids",
    "random_like",
    "random_within",
    "share_out",
]
