"""Who prepares a dataset: one process, for which all others that want the data wait."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fine2coarse.claims import Claim, Claims, hold
from fine2coarse.datasets.imagenet21k_subsets import subset_of
from fine2coarse.paths import expand

_LOGGER = logging.getLogger(__name__)
CLAIMS = "claims"


def claim_name(name: str, options: Mapping[str, Any]) -> str:
    """Name of the claim on preparing a dataset: the same where the prepared data is the same.

    Raises:
      UsageError: where options of imagenet21k contradict each other.
    """
    kept = {key: value for key, value in options.items() if value is not None}
    if "source" in kept:
        kept["source"] = str(pathlib.Path(expand(kept["source"])).resolve())
    for key in ("num_workers", "max_skipped_share"):  # how, not what
        kept.pop(key, None)
    if name == "imagenet21k":
        kept = {"config": subset_of(kept).config_name()}
    elif name == "inat2021":
        kept = {}  # whatever its options, all share one folder
    digest = hashlib.sha256(f"{name} {sorted(kept.items())}".encode()).hexdigest()
    return f"prepare-{digest[:16]}"


@contextlib.contextmanager
def first_to_prepare(
    data_dir: str,
    name: str,
    options: Mapping[str, Any],
    announce: Callable[[str], None] = _LOGGER.info,
) -> Iterator[None]:
    """Lets one process prepare a dataset, for which all others that want it wait.

    Args:
      data_dir: of prepared data; in a remote one there are no claims.
      name: of the dataset.
      options: of the dataset.
      announce: told one line where this process waits.
    """
    try:
        claims = None if "://" in data_dir else Claims(pathlib.Path(data_dir) / CLAIMS)
    except OSError:  # a folder that only others write
        claims = None
    if claims is None:
        yield
        return

    def tell(holder: str) -> None:
        announce(f"waiting for another process ({holder}), which prepares dataset {name!r}")

    with claims.first(claim_name(name, options), announce=tell):
        yield


@contextlib.contextmanager
def only_to_prepare(data_dir: str, name: str, options: Mapping[str, Any]) -> Iterator[Claim | None]:
    """Refuses a second process that prepares the same; studies that want the data wait for it.

    Args:
      data_dir: of prepared data; in a remote one there are no claims.
      name: of the dataset.
      options: of the dataset.

    Raises:
      AlreadyHeld: where a living process prepares it.
      CannotHold: where the folder cannot be written.
    """
    if "://" in data_dir:
        yield None
        return
    folder = pathlib.Path(data_dir)
    with hold(folder / CLAIMS, claim_name(name, options), f"{name} in {folder}") as claim:
        yield claim
