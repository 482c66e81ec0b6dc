"""Which of several processes this one is, by the environment variable TF_CONFIG."""

from __future__ import annotations

import dataclasses
import json
import os
import re

from fine2coarse.errors import UsageError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")
TF_CONFIG = "TF_CONFIG"
_ROLES = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Task:
    """One of the processes that train a run together.

    Attributes:
      kind: 'chief' or 'worker'.
      index: among those of its kind, from 0.
      is_chief: whether it is the one that writes files.
      rank: its number among all of them; the chief, or else the first worker, is 0.
      addresses: host:port of all of them, by rank.
    """

    kind: str
    index: int
    is_chief: bool
    rank: int
    addresses: tuple[str, ...]


def is_multi_worker(name: str) -> bool:
    """Whether `make_engine(name)` makes this process one of several that train one run."""
    return name == "multi_worker" or (name == "auto" and TF_CONFIG in os.environ)


def check_strategy(name: str, tpu: str) -> None:
    """Raises UsageError on an unknown strategy, and where 'tpu' comes without a TPU's name."""
    if name not in STRATEGIES:
        raise UsageError(f"strategy is one of {STRATEGIES}, got {name!r}")
    if name == "tpu" and not tpu:
        raise UsageError("strategy 'tpu' needs the TPU's name: --tpu=NAME, or --tpu=local")


def read_task() -> Task:
    """Which of several processes this one is, by the environment variable TF_CONFIG.

    Raises:
      UsageError: where TF_CONFIG is missing, malformed, or names a role that trains nothing here.
    """
    text = os.environ.get(TF_CONFIG, "")
    try:
        config = json.loads(text)
        cluster, task = dict(config["cluster"]), dict(config["task"])
        kind, index = str(task["type"]), int(task["index"])
        sizes = {role: len(_addresses(hosts)) for role, hosts in cluster.items()}
    except KeyError as error:
        raise _bad_task(f"it has no {error}") from error
    except (ValueError, TypeError) as error:
        raise _bad_task(f"it is {text!r}" if text else "it is not set") from error
    foreign = sorted({*sizes, kind} - set(_ROLES))
    if foreign:
        raise _bad_task(
            f"it names the role {foreign[0]!r}, but every process trains and evaluates: leave out "
            "ps and evaluator, and call a master chief"
        )
    if sizes.get("chief", 0) > 1:
        raise _bad_task(f"it lists {sizes['chief']} chiefs, where there is one at most")
    if not 0 <= index < sizes.get(kind, 0):
        raise _bad_task(
            f"its task is {kind} {index}, but its cluster lists {sizes.get(kind, 0)} of that role, "
            "counted from 0"
        )
    is_chief = kind == "chief" or (index == 0 and "chief" not in sizes)
    addresses = (*cluster.get("chief", ()), *cluster.get("worker", ()))
    rank = 0 if kind == "chief" else sizes.get("chief", 0) + index
    return Task(kind, index, is_chief, rank, addresses)


def _addresses(hosts: object) -> list[str]:
    """The addresses of a role.

    Raises:
      UsageError: where they are none.
    """
    if not isinstance(hosts, list) or not hosts:
        raise UsageError(f"expected a list of addresses, got {hosts!r}")
    for host in hosts:
        if not isinstance(host, str) or not re.fullmatch(r".+:\d+", host):
            raise UsageError(f"expected host:port, got {host!r}")
    return hosts


def _bad_task(what: str) -> UsageError:
    return UsageError(
        f"the environment variable TF_CONFIG: {what}. Expected one such as "
        '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", '
        '"index": 0}}, with roles worker and chief alone. To train in one process, unset TF_CONFIG '
        "or use --strategy=one_device or mirrored"
    )
