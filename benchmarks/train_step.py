"""Images per second of a train step: ours against timm on PyTorch, same model, batch and size.

  python benchmarks/train_step.py --torch_python=VENV/bin/python
  python benchmarks/train_step.py --torch_python=... --models=resnet34 --num_rounds=7
  python benchmarks/train_step.py --torch_python=... --ours=jax

On a GPU: benchmarks/device.sh.

Both frameworks run in processes of their own, started once, and take turns: one round is a few
steps of one, then of the other, so that a busy machine slows both. SGD with Nesterov momentum,
softmax cross-entropy, one fixed batch of random images. Needs torch and timm in another environment
(they are not dependencies of the project). On a GPU timm runs under torch.compile and
channels-last.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parents[1]
TIMM_NAMES = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50",
    "vit_s16": "vit_small_patch16_224",
    "vit_b16": "vit_base_patch16_224",
}
NUM_CLASSES = 1000


def tensorflow_side(model: str, size: int, batch: int, precision: str) -> Callable[[int], None]:
    """Our engine's step on one device."""
    import keras
    import numpy as np
    import tensorflow as tf

    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
    from fine2coarse.training.engine import StepSpec, as_engine, choose_jit_compile
    from fine2coarse.training.optimizers import build_optimizer
    from fine2coarse.training.tensorflow.step import TrainStep

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    phase = PhaseSpec(10**6, batch, OptimizerSpec(learning_rate=0.01, decay="constant"))
    classifier = Classifier(BackboneSpec(model, size), NUM_CLASSES, seed=0)
    optimizer = build_optimizer(phase.optimizer, phase.total_steps, classifier)
    jit_compile = choose_jit_compile(as_engine(tf.distribute.get_strategy()), model)
    step = tf.function(TrainStep(StepSpec(classifier, optimizer, phase)), jit_compile=jit_compile)
    generator = np.random.default_rng(0)
    data = {
        "image": tf.constant(generator.random((batch, size, size, 3), np.float32)),
        "label": tf.constant(generator.integers(0, NUM_CLASSES, (batch, 1)), tf.int32),
        "weight": tf.ones([batch]),
    }

    def run(num_steps: int) -> None:
        for _ in range(num_steps):
            loss, _ = step([data])
        float(loss)

    return run


def jax_side(model: str, size: int, batch: int, precision: str) -> Callable[[int], None]:
    """Our engine's steps on one device, given one after another as users run them.

    XLA's operations are deterministic then, unless XLA_FLAGS has
    --xla_gpu_deterministic_ops=false.
    """
    from fine2coarse.backend_start import start_backend

    start_backend()
    import keras
    import numpy as np

    from fine2coarse.input.feeds import Feed
    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
    from fine2coarse.training.engine import StepSpec, make_engine
    from fine2coarse.training.gate import Gate
    from fine2coarse.training.optimizers import build_optimizer

    engine = make_engine("one_device")
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    phase = PhaseSpec(10**6, batch, OptimizerSpec(learning_rate=0.01, decay="constant"))
    classifier = Classifier(BackboneSpec(model, size), NUM_CLASSES, seed=0)
    optimizer = build_optimizer(phase.optimizer, phase.total_steps, classifier)
    generator = np.random.default_rng(0)
    data = engine.placed_batch(
        {
            "image": generator.random((batch, size, size, 3), np.float32),
            "label": generator.integers(0, NUM_CLASSES, (batch, 1)).astype(np.int32),
            "weight": np.ones(batch, np.float32),
        }
    )
    feed = Feed(lambda shard: itertools.repeat(data))
    steps = engine.step_runner(StepSpec(classifier, optimizer, phase), feed, Gate(obeys=False))
    return lambda num_steps: steps(num_steps, 0.0)


def timm_side(model: str, size: int, batch: int, precision: str) -> Callable[[int], None]:
    """timm's model in a plain PyTorch loop; compiled, channels-last and autocast on a GPU."""
    import timm
    import torch

    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    options = {"img_size": size} if model.startswith("vit") else {}
    network = timm.create_model(TIMM_NAMES[model], num_classes=NUM_CLASSES, **options).to(device)
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True)
    forward = torch.compile(network) if on_gpu else network
    images = torch.rand(batch, 3, size, size, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, NUM_CLASSES, (batch,), device=device)

    def run(num_steps: int) -> None:
        for _ in range(num_steps):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = torch.nn.functional.cross_entropy(forward(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()

    return run


SIDES = {"tensorflow": tensorflow_side, "jax": jax_side, "timm": timm_side}


def serve(side: str, settings: list) -> None:
    """Builds a side, then answers each line N with the seconds that N steps took."""
    run = SIDES[side](*settings)
    run(2)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            print(peak_bytes(side), flush=True)
            continue
        started = time.perf_counter()
        run(int(line))
        print(time.perf_counter() - started, flush=True)


def peak_bytes(side: str) -> int:
    """Most memory of the device that the side has used; 0 where it cannot tell."""
    if side == "timm":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    if side == "jax":
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
    return 0


class SideError(SystemExit):
    """A side that did not start: no memory for the batch, a package that is missing, ..."""


class Side:
    """One side's process.

    Args:
      side: 'tensorflow', 'jax' or 'timm'.
      python: the interpreter that has it.
      settings: model, image size in px, batch size, precision.

    Raises:
      SideError: where it does not start.
    """

    def __init__(self, side: str, python: str, settings: list) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        if side in ("jax", "tensorflow"):
            environment["KERAS_BACKEND"] = side
        self._process = subprocess.Popen(
            [python, __file__, "--serve", side, json.dumps(settings)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
        )
        if self._process.stdout.readline().strip() != "ready":
            raise SideError(
                f"{side} did not start: run {python} {__file__} --serve {side} "
                f"'{json.dumps(settings)}'"
            )

    def ask(self, line: str) -> float:
        """The number that the process answers."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def in_turns(sides: list[Side], num_rounds: int, num_images: int, num_steps: int) -> list[list]:
    """Images per second of each side in each round, in which each side takes its turn."""
    rates: list[list[float]] = [[] for _ in sides]
    for _ in range(num_rounds):
        for side, found in zip(sides, rates):
            found.append(num_steps * num_images / side.ask(str(num_steps)))
    return rates


def compare(arguments: argparse.Namespace, model: str) -> None:
    """Prints one line for a model: both frameworks and their ratio over the rounds."""
    settings = [model, arguments.image_size_px, arguments.batch_size, arguments.precision]
    ours = Side(arguments.ours, sys.executable, settings)
    timm = Side("timm", arguments.torch_python, settings)
    rates = in_turns([ours, timm], arguments.num_rounds, arguments.batch_size, arguments.num_steps)
    ratios = sorted(a / b for a, b in zip(*rates))
    print(
        f"{model}  {arguments.image_size_px} px  batch {arguments.batch_size}  "
        f"{arguments.precision}: {arguments.ours} {statistics.median(rates[0]):.1f}, "
        f"timm {statistics.median(rates[1]):.1f} images/s; ratio {statistics.median(ratios):.3f} "
        f"(lowest {ratios[0]:.3f}, highest {ratios[-1]:.3f}, {len(ratios)} rounds)",
        flush=True,
    )
    ours.stop()
    timm.stop()


def main() -> None:
    """Compares each model."""
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], json.loads(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--torch_python", required=True, help="Python that has torch and timm")
    parser.add_argument("--ours", choices=("tensorflow", "jax"), default="tensorflow")
    parser.add_argument("--models", default="resnet34,vit_s16")
    parser.add_argument("--image_size_px", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--num_rounds", type=int, default=5)
    parser.add_argument("--num_steps", type=int, default=3)
    arguments = parser.parse_args()
    for model in arguments.models.split(","):
        compare(arguments, model)


if __name__ == "__main__":
    main()
