"""Runs many independent tasks: here, in several processes, or on a cluster by way of Beam."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Any

from fine2coarse.errors import UsageError


class TaskPool:
    """Runs tasks in processes of this machine, which are started when first needed."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._executor: concurrent.futures.ProcessPoolExecutor | None = None

    def __enter__(self) -> TaskPool:
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def run(
        self,
        function: Callable[[Any], None],
        tasks: Iterable[Any],
        on_done: Callable[[Any], None] = lambda task: None,
    ) -> None:
        """Calls `function` on every task; in this process where there is one worker.

        Tasks are drawn as workers become free, so that a long stream of them stays out of
        memory. The first exception ends the run and is raised here.

        Args:
          function: picklable; what it makes, it leaves in files.
          tasks: picklable, with an attribute `num_source_bytes`.
          on_done: called here after each task, with what has its `num_source_bytes`.
        """
        if self._num_workers == 1:
            for task in tasks:
                function(task)
                on_done(task)
            return
        running: dict[concurrent.futures.Future, Any] = {}
        for task in tasks:
            running[self._started().submit(function, task)] = _Done(task.num_source_bytes)
            if len(running) >= 2 * self._num_workers:
                _finish_some(running, on_done)
        while running:
            _finish_some(running, on_done)

    def _started(self) -> concurrent.futures.ProcessPoolExecutor:
        if self._executor is None:
            # TensorFlow survives no fork once it has run. A server that has only imported it forks
            # all workers, so that it is loaded once for all of them.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["fine2coarse.preparation.engine"])
            self._executor = concurrent.futures.ProcessPoolExecutor(
                self._num_workers, mp_context=context, initializer=_prepare_worker
            )
        return self._executor


@dataclasses.dataclass(frozen=True)
class _Done:
    """What is left of a task that runs: its size, not the bytes it may carry."""

    num_source_bytes: int


def _finish_some(running: dict, on_done: Callable[[Any], None]) -> None:
    done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        task = running.pop(future)
        future.result()
        on_done(task)


def _prepare_worker() -> None:
    """Makes a worker die with its parent, leave the accelerators alone and keep to one core."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    multiprocessing.parent_process().join()  # returns when the parent is gone, however it went
    os._exit(1)


def run_tasks_with_beam(
    function: Callable[[Any], None], tasks: Iterable[Any], beam_options: Any
) -> None:
    """Calls `function` on every task by a Beam pipeline, with Beam's own options.

    Beam may lose elements silently; the caller checks for the files that should be there.

    Args:
      function: picklable; writes files to storage that all workers and this process share.
      tasks: picklable.
      beam_options: `apache_beam.options.pipeline_options.PipelineOptions`.

    Raises:
      UsageError: where Beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise UsageError("--runner=beam needs Beam: pip install apache-beam") from error
    with beam.Pipeline(options=beam_options) as pipeline:
        _ = (
            pipeline
            | "Tasks" >> beam.Create(list(tasks), reshuffle=True)
            | "Run" >> beam.Map(function)
        )
