"""What backbones there are, with their sizes and cost, known without building one.

Sizes and cost are counted on the built models, at each backbone's usual image size, and kept in
`backbones.tsv` beside this file; `tests/models/test_backbone_list.py` counts them again.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Sequence

from fine2coarse import formats, terminal
from fine2coarse.recipes.backbone_spec import BACKBONES, MLPS, RESNETS, VIT_PATCH_PX

_TABLE = pathlib.Path(__file__).with_name("backbones.tsv")
_TRAINING = 3  # of a training step over a forward pass: see `training/cost.py`
ANY_SIZE, ONE_SIZE = "any", "one"
_RESNET_PAPER, _MLP_PAPER = "arXiv 1512.03385", "arXiv 2306.13575"
_VIT_PAPER, _SMALL_VIT_PAPER = "arXiv 2010.11929", "arXiv 2012.12877"
_SMALL_VITS = ("vit_ti", "vit_s")


@dataclasses.dataclass(frozen=True)
class BackboneFacts:
    """A backbone without a head. `pandas.DataFrame` takes a list of these as it is.

    Attributes:
      name: what a recipe's `backbone.name` takes.
      image_size_px: its usual image size; the figures below are at this one.
      image_sizes: that it can be built for: 'any' from 8 px, and its weights then serve any other;
        'multiple of 16' (or 32), and its position embeddings are resized to another; 'one': any
        from 8 px, but its weights serve the size that it was built for alone.
      num_features: length of the pooled feature.
      num_parameters: trainable ones.
      forward_flops: floating-point operations of a forward pass on one image: multiplications and
        additions of convolutions and matrix products.
      train_flops: of training on one image: 3 × `forward_flops`.
      options: further fields of `backbone` that it takes, as in `small_stem`.
      paper: where its kind of network is described.
    """

    name: str
    image_size_px: int
    image_sizes: str
    num_features: int
    num_parameters: int
    forward_flops: int
    train_flops: int
    options: tuple[str, ...]
    paper: str


def list_backbones() -> list[BackboneFacts]:
    """Every backbone, in the order of `BACKBONES`: small ones, ResNets, ViTs, MLPs."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = {row.pop("name"): row for row in csv.DictReader(file, delimiter="\t")}
    return [_facts(name, **{key: int(value) for key, value in rows[name].items()})
            for name in BACKBONES]  # fmt: skip


def _facts(name: str, *, forward_flops: int, **counted: int) -> BackboneFacts:
    return BackboneFacts(
        name=name,
        image_sizes=_image_sizes(name),
        forward_flops=forward_flops,
        train_flops=_TRAINING * forward_flops,
        options=_options(name),
        paper=_paper(name),
        **counted,
    )


def _image_sizes(name: str) -> str:
    if name in VIT_PATCH_PX:
        return f"multiple of {VIT_PATCH_PX[name]}"
    return ONE_SIZE if name in MLPS else ANY_SIZE


def _options(name: str) -> tuple[str, ...]:
    if name in RESNETS:
        return ("small_stem",)
    return ("dropout_rate",) if name in (*VIT_PATCH_PX, *MLPS) else ()


def _paper(name: str) -> str:
    if name in MLPS:
        return _MLP_PAPER
    if name in VIT_PATCH_PX:
        return _SMALL_VIT_PAPER if name.startswith(_SMALL_VITS) else _VIT_PAPER
    return _RESNET_PAPER


HEADINGS = (
    "name", "usual size px", "sizes", "features", "parameters",
    "FLOPs forward", "FLOPs training", "options", "paper",
)  # fmt: skip
TEXT_COLUMNS = (0, 2, 7, 8)
LEGEND = (
    "Without a head; FLOPs for one image of the usual size, training 3 × forward.",
    "Sizes any: every size from 8 px, and the weights then serve any other.",
    "Sizes multiple of 16 or 32: position embeddings are resized to another size.",
    "Sizes one: every size from 8 px, but the weights serve the size that they were trained at.",
)
"""What the table's figures and sizes mean."""


def cells(backbones: Sequence[BackboneFacts]) -> list[list[str]]:
    """Rows under `HEADINGS`, large numbers shortened."""
    return [
        [
            facts.name,
            str(facts.image_size_px),
            facts.image_sizes,
            str(facts.num_features),
            formats.count(facts.num_parameters),
            formats.count(facts.forward_flops),
            formats.count(facts.train_flops),
            ", ".join(facts.options),
            facts.paper,
        ]
        for facts in backbones
    ]


def backbones_table(backbones: Sequence[BackboneFacts]) -> str:
    """The same as text for a terminal, with `LEGEND` below."""
    table = terminal.table(HEADINGS, cells(backbones), text_columns=TEXT_COLUMNS)
    return "\n".join([table, "", *LEGEND])
