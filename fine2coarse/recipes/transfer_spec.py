"""One way to use a pretrained model for the coarse task."""

from __future__ import annotations

import dataclasses

from fine2coarse.errors import RecipeError
from fine2coarse.recipes.names import DIRECT, LINEAR_PROBE, NEW
from fine2coarse.recipes.phase_spec import OptimizerSpec

AUTO, OFF = "auto", "off"
SUMMED, AVERAGED, KEPT = "summed", "averaged", "kept"
NONE, FINETUNE = "none", "finetune"
PROBE_THEN_FINETUNE = "probe_then_finetune"
HEADS = (NEW, SUMMED, AVERAGED)
MODES = (NONE, LINEAR_PROBE, FINETUNE, PROBE_THEN_FINETUNE)
# What names that analysis knows stand for; a recipe may not give them to others.
KNOWN = {
    DIRECT: (SUMMED, NONE),
    "summed": (SUMMED, FINETUNE),
    NEW: (NEW, FINETUNE),
    LINEAR_PROBE: (NEW, LINEAR_PROBE),
}


@dataclasses.dataclass(frozen=True)
class TransferSpec:
    """One way to use a pretrained model for the target.

    Attributes:
      head: 'new' (random weights), 'summed' (the pretrained head stays, the probabilities of its
        classes are summed into the target's) or 'averaged' (a head over the target's classes whose
        weights are means of the pretrained ones').
      mode: 'none' (nothing is trained), 'linear_probe' (the head alone, on features that each
        image's central crop is encoded to once), 'finetune' (all weights) or
        'probe_then_finetune': both, half of the steps each (LP-FT, Kumar et al., arXiv 2202.10054).
      learning_rate_factor: its peak rate as a multiple of `transfer.optimizer.learning_rate`.
      optimizer: instead of `transfer.optimizer`, with the same fields; None for that.
    """

    head: str = SUMMED
    mode: str = FINETUNE
    learning_rate_factor: float = 1.0
    optimizer: OptimizerSpec | None = None

    def __post_init__(self) -> None:
        """Checks the choices and that they go together."""
        check_transfer(self.head, self.mode)
        if AUTO in (self.head, self.mode):
            raise RecipeError(
                f"a transfer that is listed names its head and mode, got {self.head!r} and "
                f"{self.mode!r}; expected one of {HEADS} and one of {MODES}"
            )
        if not self.learning_rate_factor > 0:
            raise RecipeError(
                f"learning_rate_factor must be positive, got {self.learning_rate_factor}"
            )


def check_transfer(head: str, mode: str) -> None:
    """Checks the names of a head and a mode, of which either may be 'auto'.

    Raises:
      RecipeError: on an unknown one, or a new head that is never trained.
    """
    if head not in (AUTO, *HEADS):
        raise RecipeError(f"transfer_head is one of {(AUTO, *HEADS)}, got {head!r}")
    if mode not in (AUTO, *MODES):
        raise RecipeError(f"transfer_mode is one of {(AUTO, *MODES)}, got {mode!r}")
    if head == NEW and mode == NONE:
        raise RecipeError(
            "transfer_mode='none' trains nothing, and a new head knows nothing: expected "
            "transfer_head='summed' or 'averaged'"
        )
