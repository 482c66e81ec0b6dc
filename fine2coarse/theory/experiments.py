"""The laboratory's questions: which trials answer each, and how the answer is drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from fine2coarse.errors import UsageError
from fine2coarse.theory.data import MultiViewData
from fine2coarse.theory.pictures import Line, Picture
from fine2coarse.theory.training import TrainingSettings
from fine2coarse.theory.transfer_trials import (
    FINE_HEAD,
    NEW_HEAD,
    SUM_HEAD,
    TransferTrial,
    run_transfer_trial,
)
from fine2coarse.theory.trials import Row, Trial, run_growth_trial, run_trial

STOP_LOSSES = (0.1, 0.05, 0.01)
# Two, because the answer of a linear probe turns on its penalty more than on the labels.
PROBE_RIDGES = (0.001, 0.1)
# Of a transfer: the rate of pretraining, and ten times that.
TRANSFER_RATES = (0.02, 0.2)


@dataclass(frozen=True)
class Scale:
    """How large the laboratory is; the defaults are those of the published numbers.

    Raises:
      UsageError: a size that is not positive.
    """

    num_seeds: int = 20
    num_dimensions: int = 100  # d, where an experiment does not vary it
    num_test_images: int = 1000  # of each kind, for each seed
    dimensions: tuple[int, ...] = (50, 100, 200, 400)  # of the experiment that varies d

    def __post_init__(self):
        for name in ("num_seeds", "num_test_images"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: expected one or more")

    def data(self, **changes) -> MultiViewData:
        """The default distribution at this scale's d."""
        return MultiViewData(**{"num_dimensions": self.num_dimensions} | changes)

    def trial(self, curve: str, value: float, **changes) -> Trial:
        """The default trial at this scale."""
        defaults = {"data": self.data(), "num_test_images": self.num_test_images}
        return Trial(curve, value, **defaults | changes)

    def transfer(self, curve: str, value: float, **changes) -> TransferTrial:
        """The default transfer trial at this scale."""
        defaults = {"data": self.data(), "num_test_images": self.num_test_images}
        return TransferTrial(curve, value, **defaults | changes)


# Sees everything in a minute; fits the 54 features of six superclasses.
SMOKE = Scale(num_seeds=2, num_dimensions=60, num_test_images=250, dimensions=(50, 100))


@dataclass(frozen=True)
class Experiment:
    """A question, the trials that answer it, and its pictures."""

    name: str
    question: str
    trials: tuple[Trial, ...]
    pictures: tuple[Picture, ...]
    run: Callable[[Trial, tuple[int, ...]], list[Row]] = run_trial


_ERROR = "superclass error"
_COARSE = Line("coarse labels, hard images", "coarse", "hard_error_max")
_FINE = Line("fine labels, hard images (max)", "fine", "hard_error_max")
_FINE_SUM = Line("fine labels, hard images (sum)", "fine", "hard_error_sum")


def all_experiments(scale: Scale) -> dict[str, Experiment]:
    """Every experiment by name, in the order of the report."""
    made = [
        _default(scale),
        _equal_loss(scale),
        _mechanism(scale),
        _subclasses(scale),
        _granularity(scale),
        _hard_share(scale),
        _distractors(scale),
        _label_noise(scale),
        _samples(scale),
        _dimension(scale),
        _superclasses(scale),
        _label_per_image(scale),
        _finetuning(scale),
        _transfers(scale),
    ]
    return {experiment.name: experiment for experiment in made}


def _both(make: Callable[..., Trial], values: Iterable[float]) -> tuple[Trial, ...]:
    """A coarse and a fine trial for each value; `make(curve, value, num_groups)`."""
    labels = (("coarse", 1), ("fine", None))
    return tuple(make(curve, value, groups) for value in values for curve, groups in labels)


def _default(scale):
    steps = (0, 5, 10, 20, 50, 100)
    trials = _both(lambda c, v, g: scale.trial(c, v, num_groups=g, snapshots=steps), [0])
    easy = Line("coarse labels, easy images", "coarse", "easy_error_max")
    fine_easy = Line("fine labels, easy images (max)", "fine", "easy_error_max")
    errors = Picture(
        "default", "step", "SGD steps", _ERROR, (_COARSE, _FINE, _FINE_SUM, easy, fine_easy),
        x_scale="symlog",
    )  # fmt: skip
    ratio = Picture(
        "default_alignment", "step", "SGD steps", "largest fine / common alignment",
        tuple(Line(f"{c} labels", c, "alignment_ratio") for c in ("coarse", "fine")),
        x_scale="symlog",
    )  # fmt: skip
    question = "Which features does a network learn from coarse and from fine labels?"
    return Experiment("default", question, trials, (errors, ratio))


def _equal_loss(scale):
    def make(curve, value, groups):
        recipe = TrainingSettings(
            num_steps=4000
        )  # a bound: training ends where the last loss is reached
        return scale.trial(curve, value, num_groups=groups, recipe=recipe, stop_losses=STOP_LOSSES)

    picture = Picture(
        "equal_loss", "value", "training loss at which both stop", _ERROR,
        (_COARSE, _FINE, _FINE_SUM), x_scale="log10",
    )  # fmt: skip
    question = "Is it a matter of training longer? Both stop at an equal training loss."
    return Experiment("equal_loss", question, _both(make, [0]), (picture,))


def _mechanism(scale):
    num_neurons = 256  # m = 128 in each of K = 2 coarse outputs
    recipe = TrainingSettings(learning_rate=0.005, batch_size=64, num_steps=300, init_std=1e-4)

    def make(curve, k, bias_polylog):
        return scale.trial(
            curve, k, num_groups=1, data=scale.data(num_subclasses=k),
            neurons_per_leaf=num_neurons // (2 * k),
            recipe=replace(recipe, bias_polylog=bias_polylog),
        )  # fmt: skip

    curves = (("constant bias", math.inf), ("bias falls, pl = 5", 5.0))
    trials = tuple(make(curve, k, pl) for curve, pl in curves for k in (2, 4, 8, 16))
    picture = Picture(
        "mechanism", "value", "k, subclasses in a superclass", "k · growth(fine) / growth(common)",
        tuple(Line(curve, curve, "k_times_growth_ratio") for curve, _ in curves),
        x_scale="log2", reference=1.0,
    )  # fmt: skip
    question = "Does a coarse network's fine feature grow k times slower than its common one?"
    return Experiment("mechanism", question, trials, (picture,), run_growth_trial)


def _subclasses(scale):
    trials = _both(
        lambda c, k, g: scale.trial(c, k, num_groups=g, data=scale.data(num_subclasses=k)),
        (1, 2, 4, 8, 16),
    )
    picture = Picture(
        "subclasses", "value", "k, subclasses in a superclass", _ERROR,
        (_COARSE, _FINE, _FINE_SUM), x_scale="log2",
    )  # fmt: skip
    return Experiment("subclasses", "How many subclasses does it take?", trials, (picture,))


def _granularity(scale):
    def make(curve, groups):
        is_mixed = curve == "mixed"
        return scale.trial(
            curve,
            groups,
            num_groups=groups,
            mixes_superclasses=is_mixed,
            probe_ridges=PROBE_RIDGES,
        )

    trials = tuple(make(c, g) for c in ("aligned", "mixed") for g in (1, 2, 4, 8))
    lines = tuple(
        Line(f"aligned classes ({readout})", "aligned", f"hard_error_{readout}")
        for readout in ("max", "sum")
    ) + tuple(
        Line(f"{curve} classes (probe, ridge {ridge:g})", curve, f"hard_error_probe_{ridge:g}")
        for curve in ("aligned", "mixed")
        for ridge in PROBE_RIDGES
    )
    picture = Picture(
        "granularity", "value", "g, classes in a superclass", _ERROR + ", hard images", lines,
        x_scale="log2",
    )  # fmt: skip
    question = "How fine must the labels be, and must they follow the superclasses?"
    return Experiment("granularity", question, trials, (picture,))


def _hard_share(scale):
    trials = _both(
        lambda c, share, g: scale.trial(c, share, num_groups=g, hard_share=share),
        (0.0, 0.01, 0.03, 0.1, 0.3),
    )
    picture = Picture(
        "hard_share", "value", "share of hard images in training", _ERROR, (_COARSE, _FINE),
        x_scale="symlog",
    )  # fmt: skip
    question = "What if training images are hard now and then?"
    return Experiment("hard_share", question, trials, (picture,))


def _distractors(scale):
    strengths, stds = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (0.0, 0.25, 0.5)
    variants = tuple((strength, std) for strength in strengths for std in stds)
    trials = _both(lambda c, v, g: scale.trial(c, v, num_groups=g, test_variants=variants), [0])

    def lines(column, symbol, values):
        return tuple(
            Line(f"{curve}, {symbol} = {value:g}", curve, "hard_error_max", ((column, value),))
            for curve in ("coarse", "fine")
            for value in values
        )

    pictures = (
        Picture(
            "distractors_strength", "wrong_strength", "α†, strength of the wrong superclass",
            _ERROR + ", hard images", lines("outlier_noise_std", "σ*", stds),
        ),
        Picture(
            "distractors_outlier", "outlier_noise_std", "σ*, noise of the last patch",
            _ERROR + ", hard images", lines("wrong_strength", "α†", (0.0, 0.2, 0.4)),
        ),
    )  # fmt: skip
    question = "What makes hard images hard: the missing feature, the wrong one, or the noise?"
    return Experiment("distractors", question, trials, pictures)


def _label_noise(scale):
    def make(curve, share, bias_polylog):
        recipe = TrainingSettings(bias_polylog=bias_polylog)
        return scale.trial(curve, share, recipe=recipe, label_noise=share)

    curves = (("constant bias", math.inf), ("bias falls, pl = 5", 5.0))
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    trials = tuple(make(curve, share, pl) for curve, pl in curves for share in shares)
    lines = tuple(
        Line(f"fine labels, {curve} ({readout})", curve, f"hard_error_{readout}")
        for curve, _ in curves
        for readout in ("max", "sum")
    )
    picture = Picture(
        "label_noise", "value", "q, share of subclass labels redrawn within the superclass",
        _ERROR + ", hard images", lines,
    )  # fmt: skip
    question = "How wrong may the fine labels be?"
    return Experiment("label_noise", question, trials, (picture,))


def _samples(scale):
    trials = _both(
        lambda c, n, g: scale.trial(c, n, num_groups=g, num_images=n, probe_ridges=PROBE_RIDGES),
        (16, 32, 64, 128, 512),
    )
    probes = tuple(
        Line(f"{c} labels (probe, ridge {r:g})", c, f"hard_error_probe_{r:g}")
        for c in ("coarse", "fine")
        for r in PROBE_RIDGES
    )
    picture = Picture(
        "samples", "value", "n, training images", _ERROR + ", hard images",
        (
            Line("coarse labels", "coarse", "hard_error_max"),
            Line("fine labels (max)", "fine", "hard_error_max"),
            Line("fine labels (sum)", "fine", "hard_error_sum"),
            *probes,
        ),
        x_scale="log2",
    )  # fmt: skip
    return Experiment("samples", "How many training images does it take?", trials, (picture,))


def _dimension(scale):
    def make(curve, d, groups):
        data = MultiViewData(num_subclasses=round(d**0.4), num_dimensions=d)
        return scale.trial(curve, d, num_groups=groups, data=data)

    picture = Picture(
        "dimension", "value", "d, with k = d^0.4 rounded", _ERROR, (_COARSE, _FINE, _FINE_SUM),
        x_scale="log2",
    )  # fmt: skip
    question = "Does it hold as the dimension grows, and k with it?"
    return Experiment("dimension", question, _both(make, scale.dimensions), (picture,))


def _superclasses(scale):
    trials = _both(
        lambda c, n, g: scale.trial(c, n, num_groups=g, data=scale.data(num_superclasses=n)),
        (2, 3, 4, 6),
    )
    picture = Picture(
        "superclasses", "value", "K, superclasses", _ERROR, (_COARSE, _FINE, _FINE_SUM)
    )
    question = "Does it hold for more than two superclasses?"
    return Experiment("superclasses", question, trials, (picture,))


def _label_per_image(scale):
    steps = 500

    def make(curve, n, **labels):
        recipe = TrainingSettings(num_steps=steps)
        return scale.trial(
            curve, n, num_images=n, recipe=recipe, probe_ridges=PROBE_RIDGES, **labels
        )

    trials = tuple(
        make(curve, n, **labels)
        for n in (32, 128, 512)
        for curve, labels in (
            ("coarse", {"num_groups": 1}),
            ("fine", {}),
            ("one per image", {"label_per_image": True}),
        )
    )
    pictures = tuple(
        Picture(
            f"label_per_image_{readout}", "value", "n, training images and labels",
            f"{_ERROR}, hard images ({readout})",
            tuple(
                Line(f"{curve} labels" if curve != "one per image" else "one label per image",
                     curve, f"hard_error_{readout}")
                for curve in ("coarse", "fine", "one per image")
            ),
            x_scale="log2",
        )
        for readout in ("max", "logsumexp", "sum", *(f"probe_{r:g}" for r in PROBE_RIDGES))
    )  # fmt: skip
    question = f"Can labels be too fine? One label per image, {steps} steps."
    return Experiment("label_per_image", question, trials, pictures)


def _finetuning(scale):
    def make(steps):
        if steps == 0:
            return scale.trial("fine, then coarse", 0, num_groups=1)
        recipe = TrainingSettings(num_steps=steps)
        return scale.trial("fine, then coarse", steps, recipe=recipe, coarse_steps=200)

    picture = Picture(
        "finetuning", "value", "steps of fine pretraining, before 200 coarse ones", _ERROR,
        (Line("fine, then coarse; hard images", "fine, then coarse", "hard_error_max"),),
        x_scale="symlog",
    )  # fmt: skip
    question = "Does coarse fine-tuning keep what fine pretraining has learnt?"
    trials = tuple(make(steps) for steps in (0, 2, 5, 10, 25, 50, 100, 200))
    return Experiment("finetuning", question, trials, (picture,))


def _transfers(scale):
    steps = (0, 1, 2, 5, 10, 25, 50, 100, 200)
    # Each with the rate of its head, over that of the backbone.
    kinds = {
        "summed": ({"head": FINE_HEAD}, 1),
        "sum of scores": ({"head": SUM_HEAD}, 1),
        "new head": ({"head": NEW_HEAD}, 1),
        "new head, head rate × 10": ({"head": NEW_HEAD}, 10),
        "probe first": ({"head": NEW_HEAD, "probes_first": True}, 1),
    }

    def make(curve, rate):
        choices, ratio = kinds[curve] if rate else ({"head": FINE_HEAD}, 1)
        return scale.transfer(
            curve, rate, learning_rate=rate, head_learning_rate=rate * ratio,
            coarse_steps=max(steps), snapshots=steps, **choices,
        )  # fmt: skip

    trials = tuple(make(curve, rate) for rate in TRANSFER_RATES for curve in kinds)
    gentle, fast = ((("value", rate),) for rate in TRANSFER_RATES)

    def over_steps(name, y_label, lines):
        return Picture(name, "step", "steps of the transfer", y_label, lines, x_scale="symlog")

    def errors(name, where):
        lines = tuple(Line(curve, curve, "hard_error_own", where) for curve in kinds)
        direct = Line("direct, no transfer", "direct", "hard_error_own")
        return over_steps(name, _ERROR + ", hard images", (direct, *lines))

    swaps = (
        Line("new head, backbone after the transfer", "new head", "hard_error_own", gentle),
        Line("old head, backbone after the transfer", "new head", "hard_error_old_head", gentle),
        Line(
            "new head, backbone before the transfer", "new head", "hard_error_old_backbone", gentle
        ),
    )
    alignments = tuple(
        Line(f"{curve}: {name} feature", curve, f"{name}_left", gentle)
        for curve in ("summed", "probe first", "new head")
        for name in ("fine", "common")
    )
    pictures = (
        errors("transfers", gentle),
        errors("transfers_fast", fast),
        over_steps("transfers_swap", _ERROR + ", hard images", swaps),
        over_steps(
            "transfers_alignment", "largest alignment / that before the transfer", alignments
        ),
    )
    question = "What does fine-tuning on easy images forget? Four ways from fine to coarse."
    return Experiment(
        "transfers", question, (make("direct", 0), *trials), pictures, run_transfer_trial
    )
