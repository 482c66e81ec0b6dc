"""Images per second of a train step: ours against timm on PyTorch, same model, batch and size.

  python benchmarks/train_step.py --torch_python=VENV/bin/python
  python benchmarks/train_step.py --torch_python=... --models=resnet34 --num_rounds=7
  KERAS_BACKEND=jax python benchmarks/train_step.py --ours=jax --models=vit_b16,resnet50 \
    --image_size_px=224 --batch_size=128 --precision=bfloat16        (on a GPU)

Both frameworks run in processes of their own, started once, and take turns: one round is a few
steps of one, then of the other, so that a busy machine slows both. SGD with Nesterov momentum,
softmax cross-entropy, one fixed batch of random images. Needs torch and timm in another environment
(they are not dependencies of the project). On a GPU timm runs under torch.compile and
channels-last, and both are also given as a share of what a large matrix product reaches on that
device.
"""

from __future__ import annotations

import argparse
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
# Multiplications and additions of a forward pass at 224 px, × 3 for the step, × 2 for operations.
STEP_OPERATIONS_224 = {"vit_b16": 6 * 17.58e9, "resnet50": 6 * 4.09e9}


def tensorflow_side(model: str, size: int, batch: int, precision: str) -> Callable[[int], None]:
    """Our engine's step on one device."""
    import keras
    import numpy as np
    import tensorflow as tf

    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.recipes.phase_spec import OptimizerSpec, PhaseSpec
    from fine2coarse.training.optimizers import build_optimizer
    from fine2coarse.training.step import TrainStep
    from fine2coarse.training.strategy import choose_jit_compile

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    phase = PhaseSpec(10**6, batch, OptimizerSpec(learning_rate=0.01, decay="constant"))
    classifier = Classifier(BackboneSpec(model, size), NUM_CLASSES, seed=0)
    optimizer = build_optimizer(phase.optimizer, phase.total_steps, classifier)
    jit_compile = choose_jit_compile(tf.distribute.get_strategy(), model)
    step = tf.function(TrainStep(classifier, optimizer, phase), jit_compile=jit_compile)
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
    """Our models and losses on Keras's JAX backend."""
    from fine2coarse import keras_settings

    keras_settings.allow_backend("jax")
    import jax
    import keras
    import numpy as np

    from fine2coarse.models import BackboneSpec, Classifier
    from fine2coarse.training.losses import softmax_cross_entropy

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    classifier = Classifier(BackboneSpec(model, size), NUM_CLASSES, seed=0)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    optimizer.build(classifier.trainable_variables)
    generator = np.random.default_rng(0)
    images = jax.numpy.asarray(generator.random((batch, size, size, 3), np.float32))
    labels = jax.numpy.asarray(generator.integers(0, NUM_CLASSES, (batch, 1)), "int32")

    def loss_of(trainable, fixed):
        logits, fixed = classifier.stateless_call(trainable, fixed, images, training=True)
        return softmax_cross_entropy(logits, labels).mean(), fixed

    @jax.jit
    def step(state):
        trainable, fixed, slots = state
        (loss, fixed), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, fixed)
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, fixed, slots), loss

    state = [
        tuple(
            [v.value for v in group]
            for group in (
                classifier.trainable_variables,
                classifier.non_trainable_variables,
                optimizer.variables,
            )
        )
    ]

    def run(num_steps: int) -> None:
        for _ in range(num_steps):
            state[0], loss = step(state[0])
        float(loss)

    return run


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


def matmul_peak(side: str) -> float:
    """Operations per second of a large bfloat16 matrix product, in the side's framework."""
    size, repeats = 8192, 20
    if side == "timm":
        import torch

        a = torch.rand(size, size, device="cuda", dtype=torch.bfloat16)
        multiply, wait = (lambda: a @ a), (lambda x: x[0, 0].item())
    else:
        import jax

        a = jax.numpy.ones((size, size), "bfloat16")
        product = jax.jit(lambda x: x @ x)
        multiply, wait = (lambda: product(a)), (lambda x: float(x[0, 0]))
    wait(multiply())
    started = time.perf_counter()
    for _ in range(repeats):
        found = multiply()
    wait(found)
    return 2 * size**3 * repeats / (time.perf_counter() - started)


def serve(side: str, settings: list) -> None:
    """Builds a side, then answers each line N with the seconds that N steps took."""
    run = SIDES[side](*settings)
    run(2)
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "peak":
            print(matmul_peak(side), flush=True)
            continue
        started = time.perf_counter()
        run(int(line))
        print(time.perf_counter() - started, flush=True)


class Side:
    """One side's process."""

    def __init__(self, side: str, python: str, settings: list) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        if side == "jax":
            environment["KERAS_BACKEND"] = "jax"
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
            raise SystemExit(f"{side} did not start: run {python} {__file__} --serve {side} ...")

    def ask(self, line: str) -> float:
        """The number that the process answers."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def compare(arguments: argparse.Namespace, model: str) -> None:
    """Prints one line for a model: both frameworks and their ratio over the rounds."""
    settings = [model, arguments.image_size_px, arguments.batch_size, arguments.precision]
    ours = Side(arguments.ours, sys.executable, settings)
    timm = Side("timm", arguments.torch_python, settings)
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(arguments.num_rounds):
        for side, found in zip((ours, timm), rates):
            seconds = side.ask(str(arguments.num_steps))
            found.append(arguments.num_steps * arguments.batch_size / seconds)
    ratios = sorted(a / b for a, b in zip(*rates))
    print(
        f"{model}  {arguments.image_size_px} px  batch {arguments.batch_size}  "
        f"{arguments.precision}: {arguments.ours} {statistics.median(rates[0]):.1f}, "
        f"timm {statistics.median(rates[1]):.1f} images/s; ratio {statistics.median(ratios):.3f} "
        f"(lowest {ratios[0]:.3f}, highest {ratios[-1]:.3f}, {len(ratios)} rounds)",
        flush=True,
    )
    if arguments.ours == "jax" and arguments.image_size_px == 224 and model in STEP_OPERATIONS_224:
        for name, side, found in (("ours", ours, rates[0]), ("timm", timm, rates[1])):
            share = statistics.median(found) * STEP_OPERATIONS_224[model] / side.ask("peak")
            print(f"  {name}: {100 * share:.1f} % of the measured matrix-product peak")
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
