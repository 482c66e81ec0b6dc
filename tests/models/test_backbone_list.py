"""The list of backbones: its figures are those of the built models."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import keras
import numpy as np
import pytest

import fine2coarse
from fine2coarse.errors import UsageError
from fine2coarse.models import BackboneSpec, build_backbone, takes_any_image_size
from fine2coarse.recipes.backbone_list import BackboneFacts, backbones_table
from fine2coarse.recipes.backbone_spec import BACKBONES
from fine2coarse.training.cost import train_flops_per_image

FACTS = {facts.name: facts for facts in fine2coarse.list_backbones()}
# One of each kind; the others are built in the slow tests.
_QUICK = ("resnet_tiny", "resnet18", "vit_ti16", "mlp_B_2-Wi_64", "mlp_S_6-Wi_512")
_NAMES = [
    name if name in _QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES
]


def test_every_backbone_is_listed_once():
    assert [facts.name for facts in fine2coarse.list_backbones()] == list(BACKBONES)


@pytest.mark.parametrize("name", _NAMES)
def test_a_row_is_what_the_built_model_has(name):
    keras.backend.clear_session()
    facts = FACTS[name]
    size = facts.image_size_px
    model = build_backbone(BackboneSpec(name, size), seed=0)
    parameters = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    training = train_flops_per_image(model, (size, size, 3))
    row = "\t".join(map(str, (name, size, model.output_shape[-1], parameters, training // 3)))
    listed = (facts.num_features, facts.num_parameters, facts.forward_flops)
    assert row == "\t".join(map(str, (name, size, *listed))), f"its row of backbones.tsv:\n{row}"
    assert facts.train_flops == training
    assert takes_any_image_size(model) == (facts.image_sizes == "any")


def test_figures_that_the_papers_print():
    # He et al., table 1, count a multiplication with its addition as one: 1.8e9 and 3.6e9, cut.
    forward = {name: facts.forward_flops // 2 for name, facts in FACTS.items()}
    assert [forward[name] // 10**8 for name in ("resnet18", "resnet34")] == [18, 36]
    # Two for each weight of a plain network: the first layer, then two blocks of 64·256·2.
    weights = 64 * 64 * 3 * 64 + 2 * 2 * 64 * 256
    assert FACTS["mlp_B_2-Wi_64"].forward_flops == 2 * weights


@pytest.mark.parametrize("facts", FACTS.values(), ids=lambda facts: facts.name)
def test_sizes_and_options_are_those_that_a_recipe_takes(facts: BackboneFacts):
    size = facts.image_size_px
    if facts.image_sizes.startswith("multiple of "):
        step = int(facts.image_sizes.removeprefix("multiple of "))
        assert BackboneSpec(facts.name, 5 * step)
        with pytest.raises(UsageError, match=f"patches of {step} px"):
            BackboneSpec(facts.name, 5 * step + step // 2)
    else:
        assert BackboneSpec(facts.name, size + 1)
    for option, value in {"small_stem": True, "dropout_rate": 0.1}.items():
        if option in facts.options:
            assert BackboneSpec(facts.name, size, **{option: value})
        else:
            with pytest.raises(UsageError, match=f"{option} is for"):
                BackboneSpec(facts.name, size, **{option: value})


def test_the_table_says_what_its_words_mean():
    lines = backbones_table(fine2coarse.list_backbones()).splitlines()
    row = next(line for line in lines if line.startswith("resnet50 "))
    assert row.split()[:5] == ["resnet50", "224", "any", "2048", "23.5"]
    assert {facts.image_sizes for facts in FACTS.values()} == {
        "any", "one", "multiple of 16", "multiple of 32",
    }  # fmt: skip
    assert "Sizes one: " in lines[-1]


def test_pandas_takes_the_list_as_it_is():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(fine2coarse.list_backbones())
    assert list(frame.columns) == [field.name for field in dataclasses.fields(BackboneFacts)]
    assert frame.set_index("name").num_features["vit_b16"] == 768


def test_listing_builds_nothing():
    code = (
        "import sys, fine2coarse; assert fine2coarse.list_backbones(); "
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
