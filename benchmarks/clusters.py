"""k-means: ours (faiss), against scikit-learn's KMeans and MiniBatchKMeans, at equal inertia.

    python benchmarks/clusters.py
    python benchmarks/clusters.py --num_rows=20000 --num_clusters=200 --num_dims=64

Clusters the same generated vectors (a mixture with more centres than clusters) with each side in
a process of its own. Ours is run with several numbers of iterations; time and inertia are those of
the whole call, labels included. Of the others the time at which they first reach an inertia as
low is taken: KMeans (k-means++, Lloyd) prints its inertia at every iteration; MiniBatchKMeans is
stopped now and then to measure it on all rows, with the clock stopped. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

SIDES = ("ours", "KMeans", "MiniBatchKMeans")
ITERATIONS = (5, 10, 25)
MAX_ITERATIONS = 60
MINI_BATCH_ROWS = 8192


def generate(path: pathlib.Path, num_rows: int, num_dims: int, num_clusters: int) -> None:
    """Writes float32 [num_rows, num_dims], block by block."""
    generator = np.random.default_rng(0)
    num_centres = 3 * num_clusters // 2
    centres = generator.standard_normal((num_centres, num_dims), np.float32)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (num_rows, num_dims))
    for start in range(0, num_rows, 50_000):
        rows = vectors[start : start + 50_000]
        rows[:] = centres[generator.integers(num_centres, size=len(rows))]
        rows += generator.standard_normal(rows.shape, np.float32)
    vectors.flush()


def run_ours(vectors: np.ndarray, num_clusters: int, seed: int) -> None:
    """Prints seconds and inertia of our call for each number of iterations."""
    from fine2coarse.labels import kmeans

    kmeans.import_faiss()
    rows = np.arange(len(vectors))
    for num_iterations in ITERATIONS:
        spec = kmeans.KMeansSpec(num_iterations=num_iterations, num_restarts=1)
        started = time.perf_counter()
        found = kmeans.fit(vectors, rows, num_clusters, spec, seed=seed)
        tell(f"{num_iterations} iterations", time.perf_counter() - started, found.inertia)


def run_kmeans(vectors: np.ndarray, num_clusters: int, seed: int) -> None:
    """Lets scikit-learn print its inertias; the parent takes the time."""
    from sklearn.cluster import KMeans

    print("start", flush=True)
    sys.stdout.reconfigure(line_buffering=True)
    KMeans(
        num_clusters, n_init=1, max_iter=MAX_ITERATIONS, random_state=seed, verbose=1, copy_x=False
    ).fit(vectors)


def run_mini_batch(vectors: np.ndarray, num_clusters: int, seed: int) -> None:
    """Prints seconds and inertia of MiniBatchKMeans after growing numbers of batches."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        num_clusters, batch_size=MINI_BATCH_ROWS, random_state=seed, compute_labels=False
    )
    generator = np.random.default_rng(seed)
    elapsed_seconds, num_batches = 0.0, 0
    for stop in (25, 50, 100, 200, 400):
        while num_batches < stop:
            batch = vectors[generator.integers(len(vectors), size=MINI_BATCH_ROWS)]
            started = time.perf_counter()
            model.partial_fit(batch)
            elapsed_seconds += time.perf_counter() - started
            num_batches += 1
        tell(f"{stop} batches", elapsed_seconds, full_inertia(vectors, model.cluster_centers_))


def full_inertia(vectors: np.ndarray, centres: np.ndarray) -> float:
    """Sum of squared distances of all rows to the nearest centre, not timed."""
    from fine2coarse.labels import kmeans

    centres = np.ascontiguousarray(centres, np.float32)
    return kmeans.assign(vectors, np.arange(len(vectors)), centres, spherical=False)[1]


def tell(effort: str, seconds: float, inertia: float) -> None:
    """Prints a point of a side's trace."""
    print(json.dumps({"effort": effort, "seconds": seconds, "inertia": inertia}), flush=True)


def trace(side: str, path: pathlib.Path, num_clusters: int, seed: int) -> tuple[list[dict], float]:
    """Runs a side in a process of its own: its points, and its peak memory in GB."""
    command = [sys.executable, __file__, f"--side={side}", f"--vectors={path}"]
    command += [f"--num_clusters={num_clusters}", f"--seed={seed}"]
    points, started, peak_gb = [], time.perf_counter(), 0.0
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as child:
        for line in child.stdout:
            if line.startswith("start"):
                started = time.perf_counter()
            elif line.startswith("Iteration"):
                number, inertia = line.split()[1].rstrip(","), line.split()[3].rstrip(".")
                seconds = time.perf_counter() - started
                effort = f"{int(number) + 1} iterations"
                points.append({"effort": effort, "seconds": seconds, "inertia": float(inertia)})
            elif line.startswith("{"):
                found = json.loads(line)
                peak_gb = found.get("peak_gb", peak_gb)
                points += [found] if "inertia" in found else []
    if child.returncode:
        raise SystemExit(f"{side} failed with code {child.returncode}")
    return points, peak_gb


def reached(points: list[dict], inertia: float) -> dict | None:
    """The first point with an inertia as low."""
    return next((point for point in points if point["inertia"] <= inertia * (1 + 1e-6)), None)


def report(traces: dict[str, list[list[dict]]], peaks: dict[str, float]) -> None:
    """Prints, for each effort of ours, what the others need for the same inertia."""
    ratios: dict[tuple[str, str], list[float]] = {}
    for seed, ours in enumerate(traces["ours"]):
        print(f"\nseed {seed}")
        for point in ours:
            print(
                f"  ours, {point['effort']:14} inertia {point['inertia']:.6g} in "
                f"{point['seconds']:7.1f} s"
            )
            for side in SIDES[1:]:
                other = reached(traces[side][seed], point["inertia"])
                if other is None:
                    best = min(traces[side][seed], key=lambda p: p["inertia"])
                    print(
                        f"    {side:16} not reached: inertia {best['inertia']:.6g} at best, "
                        f"after {best['seconds']:.1f} s"
                    )
                    continue
                ratio = other["seconds"] / point["seconds"]
                ratios.setdefault((side, point["effort"]), []).append(ratio)
                print(
                    f"    {side:16} {other['seconds']:7.1f} s ({other['effort']}): "
                    f"{ratio:.2f} × ours"
                )
    print(
        "\ntime at equal inertia, over ours: mean (smallest to largest) of the seeds that reach it"
    )
    for (side, effort), found in ratios.items():
        print(
            f"  {side:16} at our {effort:14} {np.mean(found):.2f} "
            f"({min(found):.2f} to {max(found):.2f}), {len(found)} seeds"
        )
    for side, gigabytes in peaks.items():
        print(f"  peak memory      {side:16} {gigabytes:.2f} GB")


def run_side(side: str, path: pathlib.Path, num_clusters: int, seed: int) -> None:
    """What the child process does."""
    # scikit-learn wants the matrix in memory; ours is content with the file.
    vectors = np.load(path, mmap_mode="r" if side == "ours" else None)
    {"ours": run_ours, "KMeans": run_kmeans, "MiniBatchKMeans": run_mini_batch}[side](
        vectors, num_clusters, seed
    )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps({"peak_gb": peak_gb}), flush=True)


def main() -> None:
    """Runs the benchmark, or one side of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_rows", type=int, default=200_000)
    parser.add_argument("--num_dims", type=int, default=256)
    parser.add_argument("--num_clusters", type=int, default=2000)
    parser.add_argument("--num_seeds", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--vectors", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        run_side(arguments.side, arguments.vectors, arguments.num_clusters, arguments.seed)
        return
    shape = f"{arguments.num_rows:,} × {arguments.num_dims}"
    print(f"{shape} vectors, {arguments.num_clusters:,} clusters")
    traces: dict[str, list[list[dict]]] = {side: [] for side in SIDES}
    peaks = dict.fromkeys(SIDES, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "vectors.npy"
        generate(path, arguments.num_rows, arguments.num_dims, arguments.num_clusters)
        for seed in range(arguments.num_seeds):
            for side in SIDES:
                points, peak_gb = trace(side, path, arguments.num_clusters, seed)
                traces[side].append(points)
                peaks[side] = max(peaks[side], peak_gb)
    report(traces, peaks)


if __name__ == "__main__":
    main()
