"""What steps cost on this machine's accelerator: against timm, with images on the device, by class.

  benchmarks/device.sh OUT [--miniature]

Parts, each in processes of its own, as long as the time lasts:

1. peak: a product of two bfloat16 matrices of 8192 × 8192, operations/s.
2. step: a train step at 224 px in bfloat16 of ViT-B/16 and ResNet-50, ours on JAX against timm
   under torch.compile and channels-last, each at its best batch size, in turns: images/s, share of
   the peak, memory.
3. resident: ResNet-18 with the small stem at 32 px, batches of 512, all images on the device: a
   training of 30 epochs of 50,000 images as users run it, and its share of waiting for input.
4. classes: the same step with heads of 38 to 21,843 classes.
5. study: a study from a pack against its bare steps (benchmarks/study.py).

In miniature everything is small enough for two CPU cores, and TensorFlow is a third side of the
step.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_ROOT))
COLUMNS = ("part", "what", "side", "batch_size", "value", "lowest", "highest", "unit")
# Floating-point operations of a train step an image at 224 px: 3 × 2 × the multiply-add pairs of a
# forward pass (tests/training/test_cost.py).
STEP_OPERATIONS_224 = {"vit_b16": 6 * 17.56e9, "resnet50": 6 * 4.09e9}
NUM_CLASSES = (38, 1000, 5995, 21843)


class Table:
    """Rows that are printed and kept as they are found.

    Args:
      folder: of `rows.csv` and `table.txt`.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._rows = folder / "rows.csv"
        self._text = folder / "table.txt"
        with self._rows.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(COLUMNS)
        self._text.write_text("", encoding="utf-8")

    def add(
        self, part: str, what: str, side: str, values: list[float], unit: str, batch_size: int = 0
    ) -> float:
        """A row of the median, the lowest and the highest of some values; returns the median."""
        median = statistics.median(values)
        row = (part, what, side, batch_size or "", median, min(values), max(values), unit)
        with self._rows.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
        batch = f" batch {batch_size}" if batch_size else ""
        spread = f" ({min(values):,.4g} to {max(values):,.4g})" if len(values) > 1 else ""
        self.say(f"{part:9} {what:24} {side:16}{batch:11} {median:>12,.4g} {unit}{spread}")
        return median

    def say(self, line: str) -> None:
        """A line of text."""
        print(line, flush=True)
        with self._text.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


class Plan:
    """What is measured, and how long there is time.

    Args:
      miniature: whether for two CPU cores.
      seconds: in all.
    """

    def __init__(self, miniature: bool, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self.miniature = miniature
        self.matrix = 1024 if miniature else 8192
        self.precision = "float32" if miniature else "bfloat16"
        self.image_size_px = 32 if miniature else 224
        self.models = ("vit_s16", "resnet18") if miniature else ("vit_b16", "resnet50")
        self.batch_sizes = (16, 32) if miniature else (256, 512)
        self.num_steps = 2 if miniature else 10
        self.num_rounds = 3 if miniature else 5
        self.resident = (
            {"backbone": "resnet_tiny", "batch_size": 32, "num_images": 512, "num_epochs": 4}
            if miniature
            else {"backbone": "resnet18", "batch_size": 512, "num_images": 50_000, "num_epochs": 30}
        )
        self.num_classes = NUM_CLASSES[:3] if miniature else NUM_CLASSES
        self.class_steps = 20 if miniature else 300

    def seconds_left(self) -> float:
        """Until the time is up."""
        return self._ends - time.monotonic()


def run_part(part: str, settings: dict, timeout_s: float) -> dict:
    """Runs a part of this program in a process of its own; what it found."""
    command = [sys.executable, __file__, "--part", part, json.dumps(settings)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, encoding="utf-8", timeout=max(timeout_s, 1.0), check=True
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak(settings: dict) -> dict:
    """Operations per second of a matrix product on the JAX device, several times."""
    import jax

    size, repeats = settings["matrix"], settings["repeats"]
    a, b = jax.random.normal(jax.random.key(0), (2, size, size), "bfloat16")
    product = jax.jit(lambda a, b: a @ b)
    product(a, b).block_until_ready()
    found = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(repeats):
            result = product(a, b)
        result.block_until_ready()
        found.append(2 * size**3 * repeats / (time.perf_counter() - started))
    return {"operations_per_second": found, "device": jax.devices()[0].device_kind}


def resident(settings: dict) -> dict:
    """A training whose images lie on the device, as users run it: deterministic operations too."""
    from fine2coarse.backend_start import start_backend

    start_backend()
    import keras
    import numpy as np

    from fine2coarse.input import Examples
    from fine2coarse.input.feeds import train_feed
    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.recipes.phase_spec import AugmentSpec, OptimizerSpec, PhaseSpec
    from fine2coarse.training.engine import make_engine
    from fine2coarse.training.loop import Trainer

    engine = make_engine("one_device")
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if settings["precision"] == "bfloat16" else "float32"
    )
    generator = np.random.default_rng(0)
    num_images, num_classes = settings["num_images"], settings["num_classes"]
    images = generator.integers(0, 256, (num_images, 32, 32, 3), np.uint8)
    labels = generator.integers(0, num_classes, num_images)
    examples = Examples(images, tuple(map(str, range(num_images))), labels, on_device=True)
    phase = PhaseSpec(
        total_steps=settings["num_steps"],
        batch_size=settings["batch_size"],
        optimizer=OptimizerSpec(learning_rate=0.1, weight_decay=5e-4),
        augment=AugmentSpec(crop="shift", shift_px=4, flip=True),
        log_every_steps=max(settings["num_steps"] // 10, 1),
    )
    spec = BackboneSpec(settings["backbone"], 32, small_stem=settings["backbone"] == "resnet18")
    trainer = Trainer(engine, lambda: Classifier(spec, num_classes, seed=0), phase)
    feed = train_feed(
        examples,
        labels[:, None].astype(np.int32),
        batch_size=phase.batch_size,
        num_steps=phase.total_steps,
        image_size_px=32,
        augment=phase.augment,
        seed=0,
    )
    # The first row has compiling in it.
    started, since, rates, waited, spans = time.perf_counter(), None, [], 0.0, 0.0
    before = 0
    for progress in trainer.train(feed):
        if not progress.log_due:
            continue
        now = time.perf_counter()
        if since is not None:
            rates.append((progress.step - before) * phase.batch_size / (now - since))
            waited += progress.input_wait_seconds
            spans += now - since
        since, before = now, progress.step
    return {
        "images_per_second": rates,
        "seconds": time.perf_counter() - started,
        "input_share": waited / max(spans, 1e-9),
    }


PARTS = {"peak": peak, "resident": resident}


def measure_steps(plan: Plan, table: Table, torch_python: str, peak_operations: float) -> None:
    """Part 2."""
    from benchmarks.train_step import Side, SideError, in_turns

    pythons = {"jax": sys.executable, "timm": torch_python}
    if plan.miniature and importlib.util.find_spec("tensorflow"):
        pythons["tensorflow"] = sys.executable
    for model in plan.models:
        best: dict[str, tuple[float, int]] = {}
        for name, python in pythons.items():
            for batch_size in plan.batch_sizes:
                if plan.seconds_left() < 60:
                    continue
                settings = [model, plan.image_size_px, batch_size, plan.precision]
                try:
                    side = Side(name, python, settings)
                except SideError as error:
                    table.say(f"step      {model:24} {name:16} batch {batch_size}: {error}")
                    continue
                (rates,) = in_turns([side], 2, batch_size, plan.num_steps)
                table.add("step", f"{model}, alone", name, rates, "images/s", batch_size)
                best[name] = max(best.get(name, (0.0, 0)), (max(rates), batch_size))
                side.stop()
        if not {"jax", "timm"} <= set(best) or plan.seconds_left() < 60:
            table.say(f"step      {model}: no comparison (a side is missing, or the time is up)")
            continue
        names = list(best)
        sides = [
            Side(n, pythons[n], [model, plan.image_size_px, best[n][1], plan.precision])
            for n in names
        ]
        rates: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(plan.num_rounds):
            for name, side in zip(names, sides):
                (one,) = in_turns([side], 1, best[name][1], plan.num_steps)
                rates[name] += one
        for name, side in zip(names, sides):
            batch_size = best[name][1]
            rate = table.add("step", model, name, rates[name], "images/s", batch_size)
            if model in STEP_OPERATIONS_224:
                share = rate * STEP_OPERATIONS_224[model] / peak_operations
                table.add("step", f"{model}, of the peak", name, [share], "", batch_size)
            memory = side.ask("memory")
            if memory:
                table.add("step", f"{model}, memory", name, [memory / 1e9], "GB", batch_size)
            side.stop()
        for name in names[1:]:
            ratios = [ours / theirs for ours, theirs in zip(rates["jax"], rates[name])]
            table.add("step", model, f"jax / {name}", ratios, "")


def measure_resident(plan: Plan, table: Table) -> None:
    """Parts 3 and 4."""
    shape = plan.resident
    steps = shape["num_epochs"] * shape["num_images"] // shape["batch_size"]
    common = {
        "backbone": shape["backbone"],
        "batch_size": shape["batch_size"],
        "num_images": shape["num_images"],
        "precision": plan.precision,
    }
    found = run_part(
        "resident", {**common, "num_steps": steps, "num_classes": 100}, plan.seconds_left()
    )
    what, batch_size = f"{shape['backbone']}, 32 px", shape["batch_size"]
    table.add("resident", what, "jax", found["images_per_second"], "images/s", batch_size)
    table.add(
        "resident", f"{shape['num_epochs']} epochs", "jax", [found["seconds"]], "s, with compiling"
    )
    table.add("resident", "waiting for input", "jax", [found["input_share"]], "of the time")
    first = None
    for num_classes in plan.num_classes:
        if plan.seconds_left() < 45:
            table.say(f"classes   {num_classes:,}: no time left")
            continue
        settings = {**common, "num_steps": plan.class_steps, "num_classes": num_classes}
        found = run_part("resident", settings, plan.seconds_left())
        rate = table.add(
            "classes", f"{num_classes:,}", "jax", found["images_per_second"], "images/s", batch_size
        )
        first = first or rate
        label = f"{num_classes:,} / {plan.num_classes[0]:,}"
        table.add("classes", label, "jax", [rate / first], "")


def study_lines(plan: Plan, pack: str) -> Iterator[str]:
    """Part 5: what benchmarks/study.py prints last."""
    num_runs, steps = (4, 20) if plan.miniature else (10, 400)
    command = [
        sys.executable, str(_ROOT / "benchmarks" / "study.py"), f"--packed={pack}",
        f"--num_runs={num_runs}", f"--pretrain_steps={steps}", f"--transfer_steps={steps // 4}",
    ]  # fmt: skip
    done = subprocess.run(
        command, stdout=subprocess.PIPE, encoding="utf-8", timeout=max(plan.seconds_left(), 1.0),
        check=True,
    )  # fmt: skip
    yield from done.stdout.strip().splitlines()[-2:]


def main() -> None:
    """Measures part after part and keeps what is found."""
    if sys.argv[1:2] == ["--part"]:
        print(json.dumps(PARTS[sys.argv[2]](json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--torch_python", default=sys.executable)
    parser.add_argument("--pack", default="", help="of the demo, by launch/pack.py; else no part 5")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--seconds", type=float, default=570.0)
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"
    plan, table = Plan(arguments.miniature, arguments.seconds), Table(arguments.out)
    settings = {"matrix": plan.matrix, "repeats": 2 if plan.miniature else 50}
    found = run_part("peak", settings, 120)
    name = f"bfloat16, {plan.matrix}³"
    operations = table.add(
        "peak", name, found["device"], [x / 1e12 for x in found["operations_per_second"]], "TFLOP/s"
    )
    failures = 0
    for part in (
        lambda: measure_resident(plan, table),
        lambda: measure_steps(plan, table, arguments.torch_python, operations * 1e12),
        lambda: (
            [table.say(f"study     {line}") for line in study_lines(plan, arguments.pack)]
            if arguments.pack
            else table.say("study     no --pack, not measured")
        ),
    ):
        try:
            part()
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            failures += 1
            table.say(f"failed: {error}")
    table.say(f"{plan.seconds_left():.0f} s of {arguments.seconds:.0f} s left")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
