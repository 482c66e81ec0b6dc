"""Runs a Cloud TPU job from the first command to the last, and leaves no machine behind."""

from __future__ import annotations

import logging
import pathlib
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence

from fine2coarse.cloud.tpu_job import CloudJob, Node
from fine2coarse.errors import EXIT_TRY_AGAIN, FailedError

_log = logging.getLogger(__name__)

NOT_FOUND = "NOT_FOUND"
_GONE = ("PREEMPTED", "TERMINATED", "SUSPENDED", "SUSPENDING", "FAILED", "DELETING", NOT_FOUND)
# What gcloud says where there is no machine to be had just now; all else is a mistake.
_NO_CAPACITY = ("RESOURCE_EXHAUSTED", "no more capacity", "stockout", "not enough resources")
_TAKEN = "ALREADY_EXISTS"
_NUM_DELETIONS = 3
_MAX_LOST_CONNECTIONS = 10


class CloudError(FailedError):
    """Something on the way went wrong; the machines are deleted all the same."""


class NodeLost(CloudError):
    """The machine was taken away: the run goes on on another one."""


class Driver:
    """Runs a job's commands.

    Args:
      job: what to run.
      archive: path of the packed project.
      tell: told one line for what a person may want to know.
      sleep: waits some seconds.
    """

    def __init__(
        self,
        job: CloudJob,
        archive: str,
        tell: Callable[[str], None] = _log.info,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._job, self._archive, self._tell, self._sleep = job, archive, tell, sleep
        self._restarts = dict.fromkeys(job.nodes(), 0)
        self._lines = dict.fromkeys(self._restarts, 0)
        self._lost_connections = dict.fromkeys(self._restarts, 0)
        self._begun: list[Node] = []

    def run(self) -> dict[str, int]:
        """Does all of it, and deletes what it created whatever happens.

        Returns:
          The exit code of the program on each machine.

        Raises:
          CloudError: where a step failed, or a machine was lost too often.
        """
        try:
            for node in self._job.nodes():
                self._set_up(node)
            codes = self._follow()
            if self._job.results:
                self._fetch()
            return codes
        finally:
            self._delete_all()

    def _set_up(self, node: Node) -> None:
        """Gets a machine to the point where the program runs, in several tries if need be."""
        while True:
            try:
                self._begun.append(node)
                self._create(node)
                self._wait_until_ready(node)
                self._call(node.copy(self._archive))
                self._call(node.install())
                self._call(node.start())
                self._lines[node] = self._lost_connections[node] = 0
                return
            except CloudError as error:
                if not isinstance(error, NodeLost) and not self._is_gone(node):
                    raise
                self._again(node, str(error))

    def _create(self, node: Node) -> None:
        self._tell(f"$ {shlex.join(node.create())}")
        shown = subprocess.run(
            node.create(), stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
        )
        for line in shown.stderr.splitlines():
            self._tell(line)
        if _TAKEN in shown.stderr and not self._restarts[node]:
            self._begun.remove(node)  # not ours to delete
            raise CloudError(
                f"{node.name} is there already, of another job or left by one: choose another "
                f"--name, or delete it with {shlex.join(node.delete())}"
            )
        if shown.returncode:
            missing = any(word.lower() in shown.stderr.lower() for word in _NO_CAPACITY)
            raise (NodeLost if missing else CloudError)(
                "no machine to be had" if missing else f"{node.name} could not be created"
            )

    def _again(self, node: Node, reason: str) -> None:
        """Deletes a machine that was lost, before the next try.

        Raises:
          CloudError: where it was lost too often.
        """
        self._restarts[node] += 1
        if self._restarts[node] > self._job.max_restarts:
            raise CloudError(
                f"{node.name}: {reason}; given up after {self._job.max_restarts} restarts"
            )
        self._tell(
            f"{node.name}: {reason}; restart {self._restarts[node]} of {self._job.max_restarts}"
        )
        self._delete(node)
        self._sleep(self._job.poll_s)

    def _wait_until_ready(self, node: Node) -> None:
        waited = 0.0
        while True:
            state = self._state(node)
            if state == node.ready_state:
                return
            if state in _GONE:
                raise NodeLost(f"it is {state}")
            if waited >= self._job.max_wait_s:
                raise CloudError(
                    f"{node.name}: still {state or 'unknown'} after {waited:g} s; see --max_wait_s"
                )
            self._sleep(self._job.poll_s)
            waited += self._job.poll_s

    def _follow(self) -> dict[str, int]:
        """Shows the logs until every program has ended."""
        running, codes = list(self._job.nodes()), {}
        while running:
            for node in list(running):
                code = self._look(node)
                if code in (None, ""):
                    continue
                if int(code) == EXIT_TRY_AGAIN:
                    self._again(node, "the program was asked to stop")
                    self._set_up(node)
                    continue
                codes[node.name] = int(code)
                running.remove(node)
                self._tell(f"{node.name}: the program ended with exit code {code}")
            if running:
                self._sleep(self._job.poll_s)
        return codes

    def _look(self, node: Node) -> str | None:
        """Shows what is new in the log; the exit code, or empty while there is none."""
        shown = subprocess.run(
            node.look(self._lines[node]), capture_output=True, encoding="utf-8", errors="replace"
        )
        if shown.returncode:
            self._lost_connections[node] += 1
            if self._is_gone(node):
                self._again(node, "the machine was taken away")
                self._set_up(node)
            elif self._lost_connections[node] > _MAX_LOST_CONNECTIONS:
                raise CloudError(f"{node.name} cannot be reached: {shown.stderr.strip()[-500:]}")
            return None
        self._lost_connections[node] = 0
        text, _, code = shown.stdout.rpartition("\nexit_code=")
        code = code.strip()
        complete = text if code else text[: text.rfind("\n") + 1]
        for line in complete.splitlines():
            self._tell(f"[{node.name}] {line}")
        self._lines[node] += complete.count("\n")
        return code

    def _state(self, node: Node) -> str:
        """Its state; NOT_FOUND where there is no such machine, empty where gcloud cannot tell."""
        shown = subprocess.run(
            node.state(), capture_output=True, encoding="utf-8", errors="replace"
        )
        if shown.returncode == 0:
            return shown.stdout.strip()
        return NOT_FOUND if NOT_FOUND in shown.stderr else ""

    def _is_gone(self, node: Node) -> bool:
        return self._state(node) in _GONE

    def _call(self, command: Sequence[str]) -> None:
        self._tell(f"$ {shlex.join(command)}")
        code = subprocess.run(command).returncode
        if code:
            raise CloudError(f"{shlex.join(command[:6])} failed with exit code {code}")

    def _fetch(self) -> None:
        pathlib.Path(self._job.results).mkdir(parents=True, exist_ok=True)
        self._call(self._job.nodes()[0].fetch())

    def _delete_all(self) -> None:
        """Deletes what was begun; a second Ctrl-C must not leave a machine behind unnoticed."""
        left = []
        for node in dict.fromkeys(self._begun):
            try:
                if not self._delete(node):
                    left.append(node)
            except KeyboardInterrupt:
                left.append(node)
        for node in left:
            _log.warning(
                "%s may still be there and cost money; delete it with: %s",
                node.name,
                shlex.join(node.delete()),
            )

    def _delete(self, node: Node) -> bool:
        """Whether the machine is gone."""
        for attempt in range(_NUM_DELETIONS):
            if attempt:
                self._sleep(self._job.poll_s)
            self._tell(f"$ {shlex.join(node.delete())}")
            if subprocess.run(node.delete()).returncode == 0 or self._state(node) == NOT_FOUND:
                return True
        return False
