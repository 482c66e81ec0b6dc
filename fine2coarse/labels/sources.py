"""Label spaces from a taxonomy level, at random within each target class, one per image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fine2coarse.labels.space import LabelSpace, LabelSpaceError
from fine2coarse.taxonomy.taxonomy import Taxonomy, table_from_tuples


def level(taxonomy: Taxonomy, level_name: str) -> LabelSpace:
    """The classes of one taxonomy level (multi-label where the graph makes it so).

    Raises:
      TaxonomyError: on an unknown level.
    """
    nodes_of_leaf = taxonomy.ancestors_at(level_name)
    nodes = sorted({node for nodes in nodes_of_leaf for node in nodes})
    class_of_node = {node: position for position, node in enumerate(nodes)}
    return LabelSpace(
        class_ids=tuple(taxonomy.node_ids[node] for node in nodes),
        class_names=tuple(taxonomy.names[node] for node in nodes),
        table=table_from_tuples([[class_of_node[n] for n in nodes] for nodes in nodes_of_leaf]),
        name=level_name,
        dataset_fingerprint=taxonomy.fingerprint,
        source={"kind": "level", "level": level_name},
    )


def random_within(
    target_classes: np.ndarray,
    image_ids: Sequence[str],
    *,
    num_classes: int,
    seed: int,
    dataset_fingerprint: str,
) -> LabelSpace:
    """Random ids drawn within each target class: as many labels, no meaning, still aligned.

    Each target class gets a share of `num_classes` in proportion to its images (at least one);
    its images are dealt to its ids evenly, in random order.

    Args:
      target_classes: int [N], the target class of each image.
      image_ids: N ids.
      num_classes: total number of random classes.
      seed: of the draw.
      dataset_fingerprint: of the prepared images.

    Raises:
      LabelSpaceError: where there are fewer ids than target classes or more than images.
    """
    target_classes = np.asarray(target_classes)
    present, sizes = np.unique(target_classes, return_counts=True)
    if not len(present) <= num_classes <= len(image_ids):
        raise LabelSpaceError(
            f"num_classes={num_classes}; expected {len(present)} (target classes) to "
            f"{len(image_ids)} (images)"
        )
    shares = share_out(sizes, num_classes)
    generator = np.random.default_rng(seed)
    labels = np.full(len(image_ids), -1, np.int32)
    first = 0
    for target, share in zip(present, shares):
        members = generator.permutation(np.flatnonzero(target_classes == target))
        labels[members] = first + np.arange(len(members)) % share
        first += share
    names = tuple(f"random{index}" for index in range(num_classes))
    return LabelSpace(
        class_ids=names,
        class_names=names,
        table=labels[:, None],
        keyed_by="image",
        image_ids=tuple(image_ids),
        name=f"random-aligned-{num_classes}",
        dataset_fingerprint=dataset_fingerprint,
        source={"kind": "random", "aligned": True, "num_classes": num_classes, "seed": seed},
    )


def per_image(image_ids: Sequence[str], *, dataset_fingerprint: str) -> LabelSpace:
    """One class for each image: the finest labels there are."""
    ids = tuple(image_ids)
    return LabelSpace(
        class_ids=ids,
        class_names=ids,
        table=np.arange(len(ids), dtype=np.int32)[:, None],
        keyed_by="image",
        image_ids=ids,
        name="per-image",
        dataset_fingerprint=dataset_fingerprint,
        source={"kind": "per_image"},
    )


def share_out(sizes: Sequence[int], total: int) -> np.ndarray:
    """Shares `total` in proportion to `sizes` (largest remainder), at least 1, at most the size.

    Returns:
      int64 [len(sizes)], summing to `total`.

    Raises:
      LabelSpaceError: where no such shares exist.
    """
    sizes = np.asarray(sizes, np.int64)
    if not len(sizes) <= total <= sizes.sum() or np.any(sizes < 1):
        raise LabelSpaceError(
            f"cannot share {total} classes among groups of sizes {sizes.tolist()[:10]}"
        )
    shares = np.ones(len(sizes), np.int64)
    while (left := total - shares.sum()) > 0:
        room = sizes - shares
        wanted = np.maximum(total * sizes / sizes.sum() - shares, 0) + 1e-9
        wanted[room == 0] = 0
        quota = np.minimum(wanted / wanted.sum() * left, room)
        whole = np.floor(quota).astype(np.int64)
        if whole.sum() == 0:
            order = np.argsort(-(quota - whole), kind="stable")
            whole[order[room[order] > 0][:left]] = 1
        shares += whole
    return shares
