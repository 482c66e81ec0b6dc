"""What was found of an arm against the baseline: one comparison for each use of its model.

`statistics.compare` makes them, with intervals where runs kept their predictions for single images.
"""

from __future__ import annotations

import dataclasses

from fine2coarse.analysis.intervals import Interval

LOWER, HIGHER, UNCLEAR, TOO_FEW_SEEDS = "lower", "higher", "unclear", "too few seeds"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An arm in one use over its seeds, and against the baseline over the seeds that both have.

    Errors and changes are fractions, not percent. The ends of intervals are NaN where runs kept no
    predictions for single images.

    Attributes:
      arm: its name.
      use: 'transferred' or 'direct'; 'transferred' for the baseline.
      title: names arm and use, for people to read.
      num_classes: of its label space.
      num_seeds: its runs.
      num_pairs: seeds that it shares with the baseline; all of the baseline's for itself.
      error: mean over its seeds.
      deviation: standard deviation of the error over its seeds (n - 1); NaN for one seed.
      difference: arm minus baseline; None for the baseline and where no seed is shared.
      relative_change: arm over baseline, minus one; None like `difference`, and where the
        baseline makes no error.
      p_value: of no difference; NaN where it cannot be told.
      adjusted_p_value: after Holm, over all that have a p-value; NaN likewise.
      verdict: 'lower', 'higher', 'unclear' or 'too few seeds'; '' for the baseline, and where runs
        kept no predictions for single images.
      words: the comparison as a sentence, without the title.
    """

    arm: str
    use: str
    title: str
    num_classes: int
    num_seeds: int
    num_pairs: int
    error: Interval
    deviation: float
    difference: Interval | None
    relative_change: Interval | None
    p_value: float
    adjusted_p_value: float
    verdict: str
    words: str = ""

    @property
    def sentence(self) -> str:
        """The comparison as a sentence."""
        return f"{self.title}: {self.words}"

    def worded(self, words: str) -> Comparison:
        """The same with its sentence."""
        return dataclasses.replace(self, words=words)


@dataclasses.dataclass(frozen=True)
class ArmComparison:
    """An arm in both uses.

    Attributes:
      transferred: after the transfer, or after the best of those that were tried.
      direct: the pretrained model as it is; None for the baseline, and where that was not tested.
      transfer_change: transferred minus direct error over the seeds that have both; None without
        the direct use, and where both make the same errors in every seed.
      argmax_error: mean over seeds of the direct error where the largest pretraining class alone
        decides; None where it was not counted.
      is_always_direct: whether the direct use was chosen in every seed, so that both uses are one.
    """

    transferred: Comparison
    direct: Comparison | None = None
    transfer_change: Interval | None = None
    argmax_error: float | None = None
    is_always_direct: bool = False

    @property
    def arm(self) -> str:
        """Its name."""
        return self.transferred.arm

    @property
    def num_classes(self) -> int:
        """Of its label space."""
        return self.transferred.num_classes

    @property
    def uses(self) -> tuple[Comparison, ...]:
        """The uses that differ: one or two."""
        if self.direct is None or self.transfer_change is None:
            return (self.direct if self.is_always_direct and self.direct else self.transferred,)
        return (self.transferred, self.direct)

    @property
    def better(self) -> Comparison:
        """The use that beat the baseline where one alone did, else the one with less error."""
        return min(self.uses, key=lambda use: (use.verdict != LOWER, use.error.estimate))

    @property
    def transfer_loses(self) -> bool:
        """Whether the transferred model is worse than the direct one beyond the interval."""
        return self.transfer_change is not None and self.transfer_change.low > 0
