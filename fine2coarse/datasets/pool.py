"""Runs many independent tasks: here, in several processes, or on a cluster by way of Beam."""

from __future__ import annotations

import collections
import concurrent.futures
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PARENT_POLL_SECONDS = 1.0


def run_tasks(
    function: Callable[[Any], None],
    tasks: Iterable[Any],
    *,
    num_workers: int,
    on_done: Callable[[Any], None] = lambda task: None,
) -> None:
    """Calls `function` on every task, with `num_workers` processes (in this one where 1).

    Tasks are drawn as workers become free, so that an endless stream of them stays out of
    memory. The first exception ends the run and is raised here.

    Args:
      function: picklable; what it makes, it leaves in files.
      tasks: picklable.
      num_workers: processes, at least 1.
      on_done: called here after each task.
    """
    if num_workers == 1:
        for task in tasks:
            function(task)
            on_done(task)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    with concurrent.futures.ProcessPoolExecutor(
        num_workers, mp_context=context, initializer=_prepare_worker, initargs=(os.getpid(),)
    ) as pool:
        running: dict[concurrent.futures.Future, Any] = {}
        try:
            for task in tasks:
                running[pool.submit(function, task)] = _light(task)
                if len(running) >= 2 * num_workers:
                    _finish_some(running, on_done)
            while running:
                _finish_some(running, on_done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _light(task: Any) -> Any:
    """What `on_done` needs of a task: its size, not the bytes it may carry."""
    return collections.namedtuple("Done", ["num_source_bytes"])(task.num_source_bytes)


def _finish_some(running: dict, on_done: Callable[[Any], None]) -> None:
    done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        task = running.pop(future)
        future.result()
        on_done(task)


def _prepare_worker(parent_pid: int) -> None:
    """Makes a worker die with its parent, leave the accelerators alone and keep to one core."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_die_with_parent, args=(parent_pid,), daemon=True).start()


def _die_with_parent(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_SECONDS)
    os._exit(1)


def run_tasks_with_beam(
    function: Callable[[Any], None], tasks: Iterable[Any], beam_options: Any
) -> None:
    """Calls `function` on every task by a Beam pipeline, with Beam's own options.

    Beam may lose elements without a word; the caller checks for the files that should be there.

    Args:
      function: picklable; writes files to storage that all workers and this process share.
      tasks: picklable.
      beam_options: `apache_beam.options.pipeline_options.PipelineOptions`.

    Raises:
      ImportError: where Beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise ImportError("--runner=beam needs Beam: pip install apache-beam") from error
    with beam.Pipeline(options=beam_options) as pipeline:
        _ = (
            pipeline
            | "Tasks" >> beam.Create(list(tasks), reshuffle=True)
            | "Run" >> beam.Map(function)
        )
