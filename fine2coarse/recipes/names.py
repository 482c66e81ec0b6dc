"""Names of phases and transfers that recipes, folders and analysis share."""

from __future__ import annotations

BASELINE = "baseline"  # the arm that trains on the target alone; also the name of its one phase
PRETRAIN, TRANSFER = "pretrain", "transfer"  # the phases of all other arms
# Names of transfers that analysis knows: no training, the baseline's straight training, and a new
# head fine-tuned or trained alone.
DIRECT, STRAIGHT, NEW, LINEAR_PROBE = "direct", "straight", "new", "linear_probe"
