"""Plans: states, disk, times between two measured ones, and hours on devices nobody has here."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import pytest

from fine2coarse.formats import disk_size, time_left
from fine2coarse.labels.spec import Clusters, Cut, Level, PerImage, Random
from fine2coarse.recipes.recipe import Recipe
from fine2coarse.studies.plan import (
    FINISHED,
    PARTLY,
    TO_DO,
    PlannedPhase,
    Rate,
    interpolate,
    known_num_classes,
    plan_study,
    with_rates,
)
from fine2coarse.studies.plan_table import describe_plan
from fine2coarse.studies.run_plan import plan_runs
from fine2coarse.studies.throughput import ThroughputError, device_hours, read_throughputs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
CLASSES = {"baseline": 4, "middle": 8, "fine": 32, "random": 32, "per_image": 192}


def recipe_of(path: str, *arguments: str) -> Recipe:
    spec = importlib.util.spec_from_file_location("card", _ROOT / path)
    card = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(card)
    return Recipe.from_config(card.get_config(*arguments))


@pytest.fixture(scope="module")
def recipe():
    return recipe_of("configs/demo.py", "smoke")


def make_plan(recipe, workdir):
    return plan_study(
        recipe, plan_runs(recipe), lambda run: CLASSES[run.arm], lambda run: True, workdir
    )


def test_states_are_read_from_the_folder_and_nothing_is_written(recipe, tmp_path):
    done = tmp_path / "runs" / "baseline-seed0" / "baseline"
    half = tmp_path / "runs" / "fine-seed0" / "pretrain"
    for folder in (done, half):
        folder.mkdir(parents=True)
    (done / "result.json").write_text("{}")
    (half / "status.json").write_text(json.dumps({"step": 8}))
    before = sorted(tmp_path.rglob("*"))
    plan = make_plan(recipe, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    states = {planned.run.arm: planned.state for planned in plan}
    assert states == {
        "baseline": FINISHED, "fine": PARTLY, "middle": TO_DO, "per_image": TO_DO, "random": TO_DO,
    }  # fmt: skip
    plan = with_rates(plan, lambda run, phase: Rate(2.0, 10.0))
    left = {
        planned.run.arm: sum(phase.seconds_left for phase in planned.phases) for planned in plan
    }
    assert left["baseline"] == 0
    # Pretraining from step 8 on, and three transfers; the direct use trains nothing.
    assert left["fine"] == 10 + 2 * (12 - 8) + 3 * (10 + 2 * 8)
    text = describe_plan(plan, 1000, 16)
    assert "1 finished, 1 partly, 3 to do" in text
    assert "12 + 3 × 8" in text and "20 + 3 × 8" in text and "1 min 36 s" in text


def test_two_phases_of_a_shape_are_measured_and_the_others_lie_between(recipe, tmp_path):
    measured = []

    def measure(run, phase):
        measured.append((phase.folder, phase.num_classes))
        return Rate(float(phase.num_classes), 1.0)

    plan = with_rates(make_plan(recipe, tmp_path), measure)
    assert sorted(measured) == [
        ("pretrain", 192), ("trials/continue", 4), ("trials/straight", 4),
        ("trials/summed", 192),
    ]  # fmt: skip
    rates = {planned.run.arm: planned.phases[0].rate.seconds_per_step for planned in plan}
    assert rates == pytest.approx(CLASSES)
    assert interpolate({4: Rate(1.0, 2.0)}, 9) == Rate(1.0, 2.0)


def test_disk_by_hand(recipe):
    # SGD: weights and momentum in each of 2 checkpoints, and the final weights: 5 copies.
    phase = PlannedPhase("pretrain", 10, recipe.pretrain)
    assert phase.num_bytes(1000, 16) == 4 * (1000 + 17 * 10) * 5
    assert PlannedPhase("pretrain", None, recipe.pretrain).num_bytes(1000, 16) is None


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (Level(level="genus"), 7),
        (Level(level="tribe"), None),
        (Random(as_many_as_level="genus"), 7),
        (Random(num_classes=12), 12),
        (Clusters(num_clusters=99, embeddings="e.npy"), 99),
        (Cut(nodes=("a", "b")), 2),
        (PerImage(), None),
    ],
)
def test_classes_known_without_data(spec, expected):
    assert known_num_classes(spec, {"genus": 7}) == expected


def test_the_papers_plans_print(tmp_path):
    recipe = recipe_of("configs/paper_inat2021.py")
    plan = plan_study(recipe, plan_runs(recipe), lambda u: None, lambda u: True, tmp_path)
    text = describe_plan(plan, 21_000_000, 512)
    assert len(text.splitlines()) == 2 + 30 + 2
    assert "?" in text


def test_arms_that_cannot_be_summed_have_probes_before_fine_tuning(recipe, tmp_path):
    plan = plan_study(
        recipe, plan_runs(recipe), lambda u: CLASSES[u.arm], lambda u: u.arm != "fine", tmp_path
    )
    fine = next(planned for planned in plan if planned.run.arm == "fine")
    assert [
        (phase.folder, phase.num_classes, phase.phase.total_steps) for phase in fine.phases
    ] == [
        ("pretrain", 32, 12),
        ("trials/probe_then_finetune_slow/probe", 4, 4),
        ("trials/probe_then_finetune_slow", 4, 4),
        ("trials/probe_then_finetune/probe", 4, 4),
        ("trials/probe_then_finetune", 4, 4),
        ("trials/new_slow", 4, 8),
        ("trials/new", 4, 8),
    ]


def test_texts():
    assert [time_left(s) for s in (None, 40, 125, 7_500, 100_000)] == [
        "?", "40 s", "2 min 05 s", "2 h 05 min", "1 d 03 h",
    ]  # fmt: skip
    assert [disk_size(b) for b in (None, 12, 1_200, 3_400_000)] == ["?", "12 B", "1.2 kB", "3.4 MB"]


def test_published_rates_go_before_estimates():
    table = read_throughputs(_ROOT / "configs" / "throughput.csv")
    options = {"precision": "mixed_bfloat16", "num_images": 2470 * 3600}
    found = device_hours(
        table, backbone="resnet50", image_size_px=224, train_flops_per_image=10**10, **options
    )
    a100 = next(device for device in found if device.device == "NVIDIA A100")
    assert a100.hours == pytest.approx(1.0) and not a100.is_estimate
    found = device_hours(
        table, backbone="vit_b16", image_size_px=224, train_flops_per_image=10**11, **options
    )
    v3 = next(device for device in found if device.device == "TPU v3 chip")
    assert v3.is_estimate and v3.images_per_second == pytest.approx(123e12 * 0.4 / 1e11)
    tiny = device_hours(
        table, backbone="resnet_tiny", image_size_px=32, train_flops_per_image=10**8, **options
    )
    assert tiny == [], "small images do not fill such devices"


def test_a_table_with_a_mistake(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("device,images\nx,3\n")
    with pytest.raises(ThroughputError, match="expected the columns device"):
        read_throughputs(path)
    header = (_ROOT / "configs" / "throughput.csv").read_text().splitlines()
    columns = next(line for line in header if line.startswith("device,"))
    path.write_text(f"# note\n{columns}\nx,any,vit,160,,100,,me\n")
    with pytest.raises(ThroughputError, match="row 3: give images_per_second, or"):
        read_throughputs(path)
