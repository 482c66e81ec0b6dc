"""What the laboratory says, experiment by experiment: verdicts are computed, never written."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from fine2coarse.theory.experiments import PROBE_RIDGES, STOP_LOSSES, TRANSFER_RATES
from fine2coarse.theory.statements import (
    Verdict,
    at_least,
    at_most,
    column_of,
    exceeds,
    mean_of,
    near_one,
    select,
    settings_of,
    wins,
)
from fine2coarse.theory.trials import Row

_EASY_ERROR_AT_MOST = 0.01
_COARSE_HARD_ERROR_AT_LEAST = 0.5
_COARSE_LOSS_AT_MOST = 0.01
_COARSE_RATIO_AT_MOST = 0.25
_FINE_HARD_ERROR_AT_MOST = {"max": 0.02, "sum": 0.03}
_FINE_RATIO_AT_LEAST = 1.5
_GROWTH_TOLERANCE = 0.05
_REPAIRED_HARD_ERROR_AT_MOST = 0.2  # coarse labels, a tenth of the training images is hard
_UNDISTURBED_HARD_ERROR_AT_MOST = 0.01  # coarse labels, hard images without distractors
_WORSE_BY = 0.01  # a difference that counts as one


def verdicts_on(name: str, rows: list[Row]) -> list[Verdict]:
    """The verdicts of the experiment `name`, from its rows.

    Raises:
      KeyError: no experiment of that name.
    """
    return _VERDICTS_OF[name](rows)


def _easy(where, rows, is_asked=False):
    return at_most(
        f"{where}: easy error", rows, "easy_error_max", _EASY_ERROR_AT_MOST, is_asked=is_asked
    )


def _misses_hard(where, rows, is_asked=False):
    bound = _COARSE_HARD_ERROR_AT_LEAST
    return at_least(f"{where}: hard error", rows, "hard_error_max", bound, is_asked=is_asked)


def _gets_hard(where, rows, readout="max", is_asked=False):
    statement, bound = f"{where}: hard error ({readout})", _FINE_HARD_ERROR_AT_MOST[readout]
    return at_most(statement, rows, f"hard_error_{readout}", bound, is_asked=is_asked)


def _gap(where, rows):
    """The pair of verdicts that most experiments share."""
    coarse, fine = select(rows, curve="coarse"), select(rows, curve="fine")
    return [_misses_hard(f"{where}, coarse", coarse), _gets_hard(f"{where}, fine", fine)]


def _default(rows):
    last = max(column_of(rows, "step"))
    coarse = select(rows, curve="coarse", step=last)
    fine = select(rows, curve="fine", step=last)
    ratio = "alignment_ratio"
    return [
        _easy("Coarse training", coarse),
        _misses_hard("Coarse training", coarse),
        at_most("Coarse training: loss", coarse, "train_loss", _COARSE_LOSS_AT_MOST),
        at_most("Coarse training: fine/common alignment", coarse, ratio, _COARSE_RATIO_AT_MOST),
        _easy("Fine training", fine),
        _gets_hard("Fine training", fine),
        _gets_hard("Fine training", fine, "sum"),
        at_least("Fine training: fine/common alignment", fine, ratio, _FINE_RATIO_AT_LEAST),
        wins("Fine labels beat coarse ones on hard images", fine, coarse, "hard_error_max"),
    ]


def _equal_loss(rows):
    gaps = [
        verdict
        for loss in STOP_LOSSES
        for verdict in _gap(f"Loss {loss:g}", select(rows, value=loss))
    ]
    coarse = select(rows, curve="coarse")
    means = [mean_of(select(coarse, value=loss), "hard_error_max") for loss in STOP_LOSSES]
    shown = ", ".join(f"{m:.3g} at {loss:g}" for m, loss in zip(means, STOP_LOSSES, strict=True))
    statement = "Training longer lowers the coarse hard error"
    return [*gaps, Verdict(statement, shown, "falls", means[-1] < means[0], is_asked=True)]


def _mechanism(rows):
    return [
        near_one(
            f"k = {k:g}, {curve}: k · growth ratio",
            select(rows, curve=curve, value=k),
            "k_times_growth_ratio",
            _GROWTH_TOLERANCE,
            is_asked=curve != "constant bias",
        )
        for curve in ("constant bias", "bias falls, pl = 5")
        for k in settings_of(rows)
    ]


def _subclasses(rows):
    coarse = select(rows, curve="coarse")
    made = [
        _misses_hard(f"k = {k:g}, coarse", select(coarse, value=k), is_asked=k < 4)
        for k in settings_of(rows)
    ]
    fine = select(rows, curve="fine")
    # At k = 1 the labels are the coarse ones: there is nothing finer to learn.
    alone, more = select(fine, value=1), [row for row in fine if row["value"] > 1]
    return [
        *made,
        _gets_hard("k = 1, fine (the same as coarse)", alone, is_asked=True),
        _gets_hard("Any k > 1, fine", more),
    ]


def _granularity(rows):
    made = [
        _gets_hard(f"g = {g:g}, aligned classes", select(rows, curve="aligned", value=g))
        for g in settings_of(rows)
        if g > 1
    ]
    for g, ridge in itertools.product((2, 4), PROBE_RIDGES):
        statement = f"g = {g}: mixed classes are worse than aligned ones (probe, ridge {ridge:g})"
        crossed, own = (select(rows, curve=curve, value=g) for curve in ("mixed", "aligned"))
        made.append(exceeds(statement, crossed, own, f"hard_error_probe_{ridge:g}", _WORSE_BY))
    return made


def _hard_share(rows):
    tenth = select(rows, curve="coarse", value=0.1)
    statement = "A tenth of the training images is hard, coarse: hard error"
    return [
        at_most(statement, tenth, "hard_error_max", _REPAIRED_HARD_ERROR_AT_MOST),
        _gets_hard("Any share, fine", select(rows, curve="fine")),
    ]


def _distractors(rows):
    def coarse(strength, std):
        return select(rows, curve="coarse", wrong_strength=strength, outlier_noise_std=std)

    statement = "α† = σ* = 0 (the common feature is missing, no more), coarse: hard error"
    bound = _UNDISTURBED_HARD_ERROR_AT_MOST
    return [
        at_most(statement, coarse(0.0, 0.0), "hard_error_max", bound),
        _misses_hard("α† = 0.4, σ* = 0 (wrong superclass alone), coarse", coarse(0.4, 0.0)),
        _misses_hard("α† = 0, σ* = 0.5 (noise alone), coarse", coarse(0.0, 0.5), is_asked=True),
        _gets_hard("Any α†, σ*, fine", select(rows, curve="fine")),
    ]


def _label_noise(rows):
    noisy = select(rows, curve="constant bias")
    made = [
        _gets_hard(f"q = {q:g}, constant bias", select(noisy, value=q), is_asked=q > 0.4)
        for q in settings_of(rows)
    ]
    return [*made, _misses_hard("q = 1, constant bias", select(noisy, value=1.0))]


def _samples(rows):
    fine = select(rows, curve="fine")
    made = [
        _gets_hard(f"n = {n:g}, fine", select(fine, value=n), is_asked=n < 512)
        for n in settings_of(rows)
    ]
    return [_misses_hard("Any n, coarse", select(rows, curve="coarse")), *made]


def _dimension(rows):
    return [
        verdict for d in settings_of(rows) for verdict in _gap(f"d = {d:g}", select(rows, value=d))
    ]


def _superclasses(rows):
    made = []
    for num in settings_of(rows):
        at = select(rows, value=num)
        fine = select(at, curve="fine")
        made += [*_gap(f"K = {num:g}", at), _gets_hard(f"K = {num:g}, fine", fine, "sum", True)]
    return made


def _label_per_image(rows):
    made = []
    for n in settings_of(rows):
        coarse, image = (select(rows, curve=c, value=n) for c in ("coarse", "one per image"))
        statement = f"n = {n:g}: one label per image beats coarse labels (max)"
        made.append(wins(statement, image, coarse, "hard_error_max"))
    for readout in ("max", "logsumexp", "sum", *(f"probe_{r:g}" for r in PROBE_RIDGES)):
        for n in settings_of(rows):
            curves = ("one per image", "fine")
            image, fine = (select(rows, curve=curve, value=n) for curve in curves)
            statement = f"n = {n:g}: one label per image is worse than fine labels ({readout})"
            made.append(exceeds(statement, image, fine, f"hard_error_{readout}", _WORSE_BY))
    return made


def _finetuning(rows):
    longest = max(settings_of(rows))
    return [
        _gets_hard(f"{longest:g} fine steps, then coarse", select(rows, value=longest)),
        _misses_hard("2 fine steps, then coarse", select(rows, value=2)),
    ]


def _transfers(rows):
    last = select(rows, step=max(column_of(rows, "step")))
    bound = _FINE_HARD_ERROR_AT_MOST["max"]

    def keeps(where, found, column="hard_error_own", is_asked=False):
        return at_most(f"{where}: hard error", found, column, bound, is_asked=is_asked)

    direct = select(last, curve="direct")
    statement = "All ways, any rate: easy error"
    made = [
        at_most(statement, last, "easy_error_own", _EASY_ERROR_AT_MOST),
        keeps("Direct, no transfer", direct),
    ]
    for rate in TRANSFER_RATES:
        at, where = select(last, value=rate), f"Rate {rate:g}"
        summed, new = select(at, curve="summed"), select(at, curve="new head")
        statement = f"{where}, new head: growth of fine over common alignment"
        made += [
            keeps(f"{where}, summed", summed),
            wins(f"{where}: summed beats a new head on hard images", summed, new, "hard_error_own"),
            at_most(statement, new, "growth_ratio", _COARSE_RATIO_AT_MOST),
        ]
    for rate in TRANSFER_RATES:
        at, where = select(last, value=rate), f"Rate {rate:g}"
        made += _what_a_new_head_forgets(where, select(at, curve="new head"), keeps)
        statement = f"{where}, summed: growth of fine over common alignment"
        made.append(
            at_least(statement, select(at, curve="summed"), "growth_ratio", 1, is_asked=True)
        )
        for curve in ("new head, head rate × 10", "probe first", "sum of scores"):
            made.append(keeps(f"{where}, {curve}", select(at, curve=curve), is_asked=True))
    return made


def _what_a_new_head_forgets(where, new, keeps):
    where = f"{where}, new head"
    bound = _COARSE_HARD_ERROR_AT_LEAST
    return [
        at_least(f"{where}: hard error", new, "hard_error_own", bound, is_asked=True),
        at_least(f"{where}: fine alignment / that before", new, "fine_left", 1, is_asked=True),
        keeps(f"{where}, the old head put back", new, "hard_error_old_head", is_asked=True),
        keeps(f"{where}, on the old backbone", new, "hard_error_old_backbone", is_asked=True),
    ]


def _keras_patches(rows):
    made, last = [], max(column_of(rows, "step"))
    for bias in ("bias falls, pl = 5", "constant bias"):
        at = select(rows, curve=bias, step=last)
        coarse, finer = select(at, value=1), [row for row in at if row["value"] > 1]
        is_asked = bias == "constant bias"
        made += [
            _easy(f"Superclass labels, {bias}", coarse, is_asked),
            _misses_hard(f"Superclass labels, {bias}", coarse, is_asked),
            _gets_hard(f"Middle and fine labels, {bias}", finer, "max", is_asked),
            _gets_hard(f"Middle and fine labels, {bias}", finer, "sum", is_asked),
        ]
    return made


_VERDICTS_OF: dict[str, Callable[[list[Row]], list[Verdict]]] = {
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
    "transfers": _transfers,
    "keras_patches": _keras_patches,
}
