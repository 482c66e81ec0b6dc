"""What the laboratory says, as inequalities over the rows: verdicts are computed, never written.

A claim bounds every seed, not the mean: "at most" looks at the largest value over seeds (and
settings), "at least" at the smallest. Those marked as questions (`is_asked`) are hypotheses that a
reader may bring along; a "no" there is a result, not a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fine2coarse.theory.experiments import STOP_LOSSES
from fine2coarse.theory.measurements import paired_p_value
from fine2coarse.theory.trials import Row

EASY_ERROR_AT_MOST = 0.01
COARSE_HARD_ERROR_AT_LEAST = 0.5
COARSE_LOSS_AT_MOST = 0.01
COARSE_RATIO_AT_MOST = 0.25
FINE_HARD_ERROR_MAX_AT_MOST = 0.02
FINE_HARD_ERROR_SUM_AT_MOST = 0.03
FINE_RATIO_AT_LEAST = 1.5
GROWTH_TOLERANCE = 0.05
COARSE_HARD_WITH_HARD_SHARE_AT_MOST = 0.2  # at a share of 0.1
COARSE_HARD_WITHOUT_DISTRACTORS_AT_MOST = 0.01


@dataclass(frozen=True)
class Claim:
    """A statement, what was measured, the bound, and whether it holds."""

    statement: str
    measured: str
    bound: str
    holds: bool
    is_asked: bool = False  # a hypothesis, rather than what the theory says


def claims_of(name: str, rows: list[Row]) -> list[Claim]:
    """The claims of the experiment `name`, judged on its rows.

    Raises:
      KeyError: no experiment of that name.
    """
    return _JUDGES[name](rows)


def at_most(statement, rows, column, bound, *, is_asked=False) -> Claim:
    """Every value of `column` is at most `bound`."""
    values = _values(rows, column)
    shown = f"{_range(values)} over {len(values)} runs"
    return Claim(statement, shown, f"≤ {bound:g}", max(values) <= bound, is_asked)


def at_least(statement, rows, column, bound, *, is_asked=False) -> Claim:
    """Every value of `column` is at least `bound`."""
    values = _values(rows, column)
    shown = f"{_range(values)} over {len(values)} runs"
    return Claim(statement, shown, f"≥ {bound:g}", min(values) >= bound, is_asked)


def select(rows: Iterable[Row], **wanted) -> list[Row]:
    """Rows whose columns equal what is wanted.

    Raises:
      ValueError: there is none.
    """
    found = [r for r in rows if all(r[name] == value for name, value in wanted.items())]
    if not found:
        raise ValueError(f"no row has {wanted}")
    return found


def _values(rows, column):
    return [row[column] for row in rows]


def _mean(rows, column):
    values = _values(rows, column)
    return sum(values) / len(values)


def _range(values):
    low, high = f"{min(values):.4g}", f"{max(values):.4g}"
    return low if low == high else f"{low} to {high}"


def _default(rows):
    last = max(_values(rows, "step"))
    coarse = select(rows, curve="coarse", step=last)
    fine = select(rows, curve="fine", step=last)
    return [
        at_most("Coarse training: error on easy images", coarse, "easy_error_max", 0.01),
        at_least("Coarse training: error on hard images", coarse, "hard_error_max", 0.5),
        at_most("Coarse training: loss", coarse, "train_loss", COARSE_LOSS_AT_MOST),
        at_most(
            "Coarse training: fine/common alignment", coarse, "alignment_ratio",
            COARSE_RATIO_AT_MOST,
        ),
        at_most("Fine training: error on easy images (max)", fine, "easy_error_max", 0.01),
        at_most(
            "Fine training: error on hard images (max)", fine, "hard_error_max",
            FINE_HARD_ERROR_MAX_AT_MOST,
        ),
        at_most(
            "Fine training: error on hard images (sum)", fine, "hard_error_sum",
            FINE_HARD_ERROR_SUM_AT_MOST,
        ),
        at_least(
            "Fine training: fine/common alignment", fine, "alignment_ratio", FINE_RATIO_AT_LEAST
        ),
        _wins("Fine labels beat coarse ones on hard images", coarse, fine),
    ]  # fmt: skip


def _wins(statement, coarse, fine):
    first, second = _values(coarse, "hard_error_max"), _values(fine, "hard_error_max")
    wins = sum(a > b for a, b in zip(first, second, strict=True))
    shown = f"in {wins} of {len(first)} seeds; Wilcoxon p = {paired_p_value(first, second):.2g}"
    return Claim(statement, shown, "in every seed", wins == len(first))


def _equal_loss(rows):
    made = []
    for loss in STOP_LOSSES:
        at = select(rows, value=loss)
        made += _gap(f"Both at loss {loss:g}", at)
    coarse = {loss: select(rows, curve="coarse", value=loss) for loss in STOP_LOSSES}
    means = [_mean(coarse[loss], "hard_error_max") for loss in STOP_LOSSES]
    shown = ", ".join(
        f"{m:.3g} at loss {loss:g}" for m, loss in zip(means, STOP_LOSSES, strict=True)
    )
    falls = means[-1] < means[0]
    return [
        *made,
        Claim("Training longer lowers the coarse hard error", shown, "falls", falls, True),
    ]


def _gap(where, rows, fine_bound=FINE_HARD_ERROR_MAX_AT_MOST):
    """The pair of claims that most experiments share."""
    coarse, fine = select(rows, curve="coarse"), select(rows, curve="fine")
    return [
        at_least(f"{where}: coarse hard error", coarse, "hard_error_max", 0.5),
        at_most(f"{where}: fine hard error (max)", fine, "hard_error_max", fine_bound),
    ]


def _mechanism(rows):
    made = []
    for curve, is_asked in (("constant bias", False), ("bias falls, pl = 5", True)):
        for k in _sorted_values(select(rows, curve=curve)):
            off = [
                abs(v - 1)
                for v in _values(select(rows, curve=curve, value=k), "k_times_growth_ratio")
            ]
            made.append(
                Claim(
                    f"k = {k:g}, {curve}: |k · ratio − 1|",
                    f"{_range(off)} over {len(off)} runs",
                    f"≤ {GROWTH_TOLERANCE:g}",
                    max(off) <= GROWTH_TOLERANCE,
                    is_asked,
                )
            )
    return made


def _sorted_values(rows):
    return sorted(set(_values(rows, "value")))


def _subclasses(rows):
    made = []
    for k in _sorted_values(rows):
        coarse = select(rows, curve="coarse", value=k)
        made.append(
            at_least(f"k = {k:g}: coarse hard error", coarse, "hard_error_max", 0.5, is_asked=k < 4)
        )
    fine = select(rows, curve="fine")
    made.append(
        at_most("Any k: fine hard error (max)", fine, "hard_error_max", FINE_HARD_ERROR_MAX_AT_MOST)
    )
    return made


def _granularity(rows):
    made = [
        at_most(
            f"g = {g:g} aligned classes: hard error (max)",
            select(rows, curve="aligned", value=g),
            "hard_error_max",
            FINE_HARD_ERROR_MAX_AT_MOST,
        )
        for g in _sorted_values(rows)
        if g > 1
    ]
    for g in (2, 4):
        pair = [select(rows, curve=c, value=g) for c in ("aligned", "mixed")]
        own, other = (_mean(part, "hard_error_probe") for part in pair)
        made.append(
            Claim(
                f"g = {g}: classes across superclasses are worse than aligned ones (probe)",
                f"{other:.3g} against {own:.3g}, means",
                "worse",
                other > own,
                True,
            )
        )
    return made


def _hard_share(rows):
    return [
        at_most(
            "A tenth of training is hard: coarse hard error",
            select(rows, curve="coarse", value=0.1),
            "hard_error_max",
            COARSE_HARD_WITH_HARD_SHARE_AT_MOST,
        ),
        at_most(
            "Any share: fine hard error (max)",
            select(rows, curve="fine"),
            "hard_error_max",
            FINE_HARD_ERROR_MAX_AT_MOST,
        ),
    ]


def _distractors(rows):
    def coarse(strength, std):
        return select(rows, curve="coarse", wrong_strength=strength, outlier_noise_std=std)

    return [
        at_most(
            "α† = σ* = 0, only the common feature missing: coarse hard error",
            coarse(0.0, 0.0), "hard_error_max", COARSE_HARD_WITHOUT_DISTRACTORS_AT_MOST,
        ),
        at_least(
            "α† = 0.4, σ* = 0, wrong superclass alone: coarse hard error",
            coarse(0.4, 0.0), "hard_error_max", COARSE_HARD_ERROR_AT_LEAST,
        ),
        at_least(
            "α† = 0, σ* = 0.5, noise alone: coarse hard error",
            coarse(0.0, 0.5), "hard_error_max", COARSE_HARD_ERROR_AT_LEAST, is_asked=True,
        ),
        at_most(
            "Any α†, σ*: fine hard error (max)",
            select(rows, curve="fine"), "hard_error_max", FINE_HARD_ERROR_MAX_AT_MOST,
        ),
    ]  # fmt: skip


def _label_noise(rows):
    made = []
    for q in _sorted_values(rows):
        noisy = select(rows, curve="constant bias", value=q)
        made.append(
            at_most(
                f"q = {q:g}, constant bias: fine hard error (max)", noisy, "hard_error_max",
                FINE_HARD_ERROR_MAX_AT_MOST, is_asked=q > 0.4,
            )
        )  # fmt: skip
    pure = select(rows, curve="constant bias", value=1.0)
    made.append(
        at_least("q = 1, constant bias: as bad as coarse labels", pure, "hard_error_max", 0.5)
    )
    return made


def _samples(rows):
    made = []
    for n in _sorted_values(rows):
        made += [
            at_most(
                f"n = {n:g}: fine hard error (max)",
                select(rows, curve="fine", value=n),
                "hard_error_max",
                FINE_HARD_ERROR_MAX_AT_MOST,
                is_asked=n < 128,
            )
        ]
    coarse = select(rows, curve="coarse")
    return [at_least("Any n: coarse hard error", coarse, "hard_error_max", 0.5), *made]


def _dimension(rows):
    return [
        claim for d in _sorted_values(rows) for claim in _gap(f"d = {d:g}", select(rows, value=d))
    ]


def _superclasses(rows):
    made = []
    for num in _sorted_values(rows):
        at = select(rows, value=num)
        made += _gap(f"K = {num:g}", at)
        made.append(
            at_most(
                f"K = {num:g}: fine hard error (sum)", select(at, curve="fine"),
                "hard_error_sum", FINE_HARD_ERROR_SUM_AT_MOST, is_asked=True,
            )
        )  # fmt: skip
    return made


def _label_per_image(rows):
    made = []
    for readout in ("max", "logsumexp", "sum", "probe"):
        column = f"hard_error_{readout}"
        for n in _sorted_values(rows):
            at = select(rows, value=n)
            fine = _mean(select(at, curve="fine"), column)
            image = _mean(select(at, curve="one per image"), column)
            made.append(
                Claim(
                    f"n = {n:g}: one label per image hurts, against fine labels ({readout})",
                    f"{image:.3g} against {fine:.3g}, means",
                    "worse by more than 0.01",
                    image > fine + 0.01,
                    True,
                )
            )
    return made


def _finetuning(rows):
    longest = max(_sorted_values(rows))
    return [
        at_most(
            f"{longest:g} fine steps, then coarse: hard error",
            select(rows, value=longest), "hard_error_max", FINE_HARD_ERROR_MAX_AT_MOST,
        ),
        at_least("2 fine steps, then coarse: hard error", select(rows, value=2),
                 "hard_error_max", 0.5),
    ]  # fmt: skip


_JUDGES: dict[str, Callable[[list[Row]], list[Claim]]] = {
    "default": _default,
    "equal_loss": _equal_loss,
    "mechanism": _mechanism,
    "subclasses": _subclasses,
    "granularity": _granularity,
    "hard_share": _hard_share,
    "distractors": _distractors,
    "label_noise": _label_noise,
    "samples": _samples,
    "dimension": _dimension,
    "superclasses": _superclasses,
    "label_per_image": _label_per_image,
    "finetuning": _finetuning,
}
