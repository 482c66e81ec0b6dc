"""Label spaces over the subclasses: how finely a superclass is cut, and whether along its lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fine2coarse.errors import UsageError
from fine2coarse.theory.data import MultiViewData


@dataclass(frozen=True)
class Labelling:
    """leaf_to_class int [K·k]; class_to_superclass int [O], None where classes mix superclasses."""

    leaf_to_class: np.ndarray
    class_to_superclass: np.ndarray | None

    @property
    def num_classes(self) -> int:
        """O, the number of outputs."""
        return int(self.leaf_to_class.max()) + 1


def aligned(data: MultiViewData, num_groups: int) -> Labelling:
    """Each superclass cut into g = `num_groups` classes: 1 is coarse, k is fine.

    Raises:
      UsageError: g outside 1 … k.
    """
    _check_groups(data, num_groups)
    superclass, subclass = np.divmod(np.arange(data.num_leaves), data.num_subclasses)
    groups = superclass * num_groups + subclass * num_groups // data.num_subclasses
    return Labelling(groups, np.repeat(np.arange(data.num_superclasses), num_groups))


def mixed(data: MultiViewData, num_groups: int) -> Labelling:
    """As many classes as `aligned` makes, but each holds subclasses of different superclasses.

    Raises:
      UsageError: g outside 1 … k.
    """
    _check_groups(data, num_groups)
    superclass, subclass = np.divmod(np.arange(data.num_leaves), data.num_subclasses)
    position = subclass * data.num_superclasses + superclass  # superclasses take turns
    return Labelling(position * num_groups // data.num_subclasses, None)


def with_noise(leaves: np.ndarray, data: MultiViewData, rngs, noise_share: float) -> np.ndarray:
    """Leaves [S, n] of which a share is redrawn uniformly within its superclass.

    A redrawn leaf may turn out as before; at 1.0 the subclass says nothing about the image.

    Raises:
      UsageError: a share outside [0, 1].
    """
    if not 0 <= noise_share <= 1:
        raise UsageError(f"label noise is {noise_share}: expected a share between 0 and 1")
    num_samples = leaves.shape[1]
    is_noisy = np.stack([rng.random(num_samples) < noise_share for rng in rngs])
    subclass = np.stack([rng.integers(data.num_subclasses, size=num_samples) for rng in rngs])
    redrawn = data.superclass_of(leaves) * data.num_subclasses + subclass
    return np.where(is_noisy, redrawn, leaves)


def _check_groups(data, num_groups):
    if not 1 <= num_groups <= data.num_subclasses:
        raise UsageError(
            f"num_groups is {num_groups}: expected 1 (coarse) to {data.num_subclasses} (fine), the "
            "number of subclasses"
        )
