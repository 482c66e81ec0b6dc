"""Who does which run: claims through a folder that several processes, or hosts, share.

Claims on a name are numbered files `<name>.000001.json`, `<name>.000002.json`, …; the newest says
how things stand: held by a process, free again, failed or done. Every change is the creation of the
next number by a hard link, which exactly one process can win, on a local disk and on NFS alike.
Nothing is ever overwritten, so that a process that slept through its own claim's end cannot undo
another's. (`files.write_atomic` does overwrite, and cannot tell who came first.)

A holder touches its file now and then. Its age is told by the file system's clock alone (the
modification time of another file touched just now), so the hosts' clocks need not agree.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import glob
import json
import os
import pathlib
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from fine2coarse.errors import TryAgainError, UsageError
from fine2coarse.files import read_json

DEFAULT_TIMEOUT_S = 300.0
HOLD_TIMEOUT_S = 120.0  # for this long a job waits that is queued again after its host died
HELD, FREE, FAILED, DONE = "held", "free", "failed", "done"
_HEARTBEATS_IN_TIMEOUT = 10
_TRIES = 3
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class ClaimLost(TryAgainError):
    """Another process took the work over, since this one seemed dead."""


class CannotHold(UsageError, RuntimeError):
    """A folder that claims cannot be written to."""


class AlreadyHeld(UsageError, RuntimeError):
    """Another process does the same work at the moment."""


class Claims:
    """The claims of all processes that share a folder, as seen by this one.

    Args:
      folder: shared; made where it is missing.
      timeout_s: a claim not touched for so long is taken over. One whose process is known to have
        ended (it was on this machine) is taken over at once. Should be well above the time for
        which a network file system caches attributes, usually 60 s.
    """

    def __init__(self, folder: pathlib.Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        if timeout_s <= 0:
            raise UsageError(f"a claim's timeout must be positive, got {timeout_s} s")
        self._folder, self.timeout_s = folder, timeout_s
        folder.mkdir(parents=True, exist_ok=True)
        self._started = self._now()

    def take(self, name: str) -> Claim | None:
        """Claims a name.

        Returns:
          The claim; None where a living process holds it, or it was done or failed since this
          object was made.
        """
        newest = self._newest(name)
        if newest and not self._may_follow(newest):
            return None
        path = self._folder / f"{name}.{(newest.number if newest else 0) + 1:06d}.json"
        if not self._create(path, HELD):
            return None
        return Claim(self, path)

    def take_or_see_alive(self, name: str, poll_s: float = 1.0) -> Claim | None:
        """Claims a name; where its holder is on another machine, first sees whether that lives.

        Args:
          name: of the work.
          poll_s: seconds between two looks.

        Returns:
          The claim; None where a living process holds it.
        """
        seen = None
        while True:
            claim, newest = self.take(name), self._newest(name)
            if claim or newest is None or newest.record.get("machine") == _MACHINE:
                return claim
            if newest.record.get("state") in (DONE, FAILED):  # meanwhile, by another process
                return None
            sign_of_life = (newest.number, newest.time)
            if seen not in (None, sign_of_life):
                return None
            seen = sign_of_life
            time.sleep(poll_s)

    def holder(self, name: str) -> str:
        """Who holds a name, for people to read; empty where nobody does."""
        newest = self._newest(name)
        if not newest or newest.record.get("state", HELD) != HELD:
            return ""
        return f"{newest.record.get('host', '?')}, process {newest.record.get('pid', '?')}"

    def failure(self, name: str) -> str:
        """Why a name failed since this object was made; empty where it did not."""
        newest = self._newest(name)
        if not newest or newest.record.get("state") != FAILED or newest.time < self._started:
            return ""
        return newest.record["reason"]

    @contextlib.contextmanager
    def first(
        self,
        name: str,
        poll_s: float = 0.2,
        announce: Callable[[str], None] = lambda holder: None,
    ) -> Iterator[None]:
        """Lets one process do the body alone; those that waited for it then do it freely.

        Args:
          name: of the work.
          poll_s: seconds between two looks.
          announce: told once whom this process waits for.
        """
        claim, is_told = None, False
        while claim is None and not self.is_done(name):
            claim = self.take(name)
            if claim is None:
                if not is_told:
                    announce(self.holder(name))
                    is_told = True
                time.sleep(poll_s)
        state = FREE
        try:
            yield
            state = DONE
        finally:
            if claim:
                claim.end(state)

    def is_done(self, name: str) -> bool:
        """Whether a name was done since this object was made; before, it may be done again."""
        newest = self._newest(name)
        is_done = newest is not None and newest.record.get("state") == DONE
        return is_done and newest.time >= self._started

    def _may_follow(self, newest: _Entry) -> bool:
        state = newest.record.get("state", HELD)
        if state == FREE:
            return True
        if state in (FAILED, DONE):  # what an earlier session left may be done again
            return newest.time < self._started
        if state == HELD and newest.record.get("machine") == _MACHINE:
            return not _is_alive(newest.record["pid"], newest.record["started"]) or (
                self._now() - newest.time > self.timeout_s
            )
        return self._now() - newest.time > self.timeout_s

    def _newest(self, name: str) -> _Entry | None:
        numbers = []
        for path in self._folder.iterdir():
            stem, _, number = path.name.removesuffix(".json").rpartition(".")
            if stem == name and number.isdigit():
                numbers.append(int(number))
        if not numbers:
            return None
        path = self._folder / f"{name}.{max(numbers):06d}.json"
        try:
            return _Entry(max(numbers), _read(path), path.stat().st_mtime)
        except FileNotFoundError:  # all was removed meanwhile
            return None

    def _create(self, path: pathlib.Path, state: str, reason: str = "") -> bool:
        """Creates a file, whole, unless there is one; whether it did."""
        record = {"state": state, "host": socket.gethostname(), "machine": _MACHINE}
        record |= {"pid": os.getpid(), "started": _start_time(os.getpid()), "reason": reason}
        partial = self._folder / f".{uuid.uuid4().hex}.tmp"
        partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
        try:
            os.link(partial, path)
            return True
        except FileExistsError:
            # NFS may repeat a call that succeeded, and report the second time's error.
            return partial.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_without_links(path, partial.read_text(encoding="utf-8"))
        finally:
            partial.unlink(missing_ok=True)

    def _now(self) -> float:
        """The file system's time."""
        probe = self._folder / f".{uuid.uuid4().hex}.now"
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)


@contextlib.contextmanager
def hold(folder: pathlib.Path, name: str, what: str) -> Iterator[Claim]:
    """Lets one process at a time do the body; a second one is refused.

    That is at once on the same machine. From another one it takes until the holder's next sign of
    life, or until it gave none for `HOLD_TIMEOUT_S` seconds and its claim is taken over.

    Args:
      folder: of the claims; made where it is missing.
      name: of the claim.
      what: what is written, for people to read.

    Raises:
      AlreadyHeld: where a living process does it.
      CannotHold: where the folder cannot be written.
    """
    claims, claim = _claim(folder, name, what)
    if claim is None:
        raise AlreadyHeld(
            f"{what} is being written by another process ({claims.holder(name) or 'just ended'}): "
            "wait for it or stop it, then start again, or write elsewhere"
        )
    try:
        yield claim
    finally:
        claim.withdraw()


def _claim(folder: pathlib.Path, name: str, what: str) -> tuple[Claims, Claim | None]:
    problem: OSError | None = None
    for _ in range(_TRIES):
        try:
            claims = Claims(folder, HOLD_TIMEOUT_S)
            return claims, claims.take_or_see_alive(name)
        except FileNotFoundError as error:  # another process just withdrew, and its folder with it
            problem = error
        except OSError as error:
            problem = error
            break
    raise CannotHold(
        f"cannot write to {what}: {problem.strerror}; choose another place, or change its "
        "permissions"
    ) from problem


@contextlib.contextmanager
def hold_file(path: pathlib.Path) -> Iterator[Claim]:
    """Lets one process at a time write a file, or make a folder; claims lie hidden beside it.

    Raises:
      AlreadyHeld: where a living process does it.
    """
    with hold(path.absolute().parent / ".claims", path.name, str(path)) as claim:
        yield claim


class Claim:
    """A name that this process holds, until `end`; made by `Claims.take`."""

    def __init__(self, claims: Claims, path: pathlib.Path) -> None:
        self._claims, self._path = claims, path
        stem, _, number = path.name.removesuffix(".json").rpartition(".")
        self._next = path.with_name(f"{stem}.{int(number) + 1:06d}.json")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Makes sure that the claim still holds; called before anything is written.

        Raises:
          ClaimLost: where another process took it over.
        """
        if self._next.exists() or not self._path.exists():
            raise ClaimLost(
                f"{self._path.stem.rpartition('.')[0]}: taken over by another process, since this "
                f"one gave no sign of life for {self._claims.timeout_s:g} s"
            )

    def end(self, state: str, reason: str = "") -> None:
        """Says how it ended: FREE, FAILED or DONE. Does nothing where the claim was lost."""
        self._ended.set()
        self._thread.join()
        self._claims._create(self._next, state, reason)

    def withdraw(self) -> None:
        """Ends it without a trace, where nobody asks later how the work went."""
        self._ended.set()
        self._thread.join()
        folder = self._path.parent
        stem, _, own = self._path.name.removesuffix(".json").rpartition(".")
        for path in folder.glob(f"{glob.escape(stem)}.*.json"):
            number = path.name.removesuffix(".json").rpartition(".")[2]
            if number.isdigit() and int(number) <= int(own):  # this one, and those of the dead
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others' claims lie in it
            folder.rmdir()

    def _beat(self) -> None:
        while not self._ended.wait(self._claims.timeout_s / _HEARTBEATS_IN_TIMEOUT):
            # A failing write of a network file system is tried again at the next beat.
            with contextlib.suppress(OSError):
                os.utime(self._path)


@dataclasses.dataclass(frozen=True)
class Seen:
    """How things stand with a name, for somebody who only looks.

    Attributes:
      state: HELD, FREE, FAILED or DONE.
      holder: host and process, for people to read.
      is_alive: whether it is held by a process that seems to live.
      reason: why it failed.
    """

    state: str
    holder: str
    is_alive: bool
    reason: str


def look(folder: pathlib.Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Seen]:
    """How things stand with every name that was ever claimed; nothing is written.

    Args:
      folder: of the claims; it need not be there.
      timeout_s: a claim of another machine that was not touched for so long is of a dead process,
        by this machine's clock.
    """
    newest: dict[str, tuple[int, pathlib.Path]] = {}
    for path in folder.glob("*.json"):
        stem, _, number = path.stem.rpartition(".")
        if number.isdigit():
            newest[stem] = max(newest.get(stem, (0, path)), (int(number), path))
    found = {}
    for name, (_, path) in newest.items():
        with contextlib.suppress(FileNotFoundError):  # withdrawn meanwhile
            found[name] = _seen(_read(path), time.time() - path.stat().st_mtime <= timeout_s)
    return found


def _seen(record: dict[str, Any], is_fresh: bool) -> Seen:
    state = record.get("state", HELD)
    is_here = record.get("machine") == _MACHINE
    lives = _is_alive(record["pid"], record["started"]) if is_here else is_fresh
    return Seen(
        state,
        f"{record.get('host', '?')}, process {record.get('pid', '?')}",
        state == HELD and lives,
        record.get("reason", ""),
    )


class _Entry:
    """One claim file: its number, what it says and its modification time."""

    def __init__(self, number: int, record: dict[str, Any], time: float) -> None:
        self.number, self.record, self.time = number, record, time


def _read(path: pathlib.Path) -> dict[str, Any]:
    """A claim's record; empty where a file system without links has it half written."""
    try:
        return read_json(path)
    except ValueError:
        return {}


def _create_without_links(path: pathlib.Path, text: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        return True
    except FileExistsError:
        return False


def _machine() -> str:
    """Where process ids mean the same: host, since its last start, and container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip())
        parts.append(str(pathlib.Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


_MACHINE = _machine()


def _start_time(pid: int) -> str:
    """When a process began, in the kernel's ticks; empty where there is none or no /proc."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        fields = stat.rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # state, start time: proc_pid_stat(5)


def _is_alive(pid: int, started: str) -> bool:
    """Whether a process of this machine still runs; another one of the same id does not count."""
    if started:
        return _start_time(pid) == started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
