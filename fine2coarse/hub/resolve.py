"""From a handle to a folder that holds a SavedModel."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Iterator

from fine2coarse.errors import UsageError
from fine2coarse.paths import expand

SAVED_MODEL = "saved_model.pb"
SEARCH_PATH = "FINE2COARSE_HUB_PATH"
_KAGGLE = re.compile(r"(?:kaggle://)?([\w-]+/[\w-]+/[\w-]+/[\w.-]+(?:/\d+)?)")
_KAGGLE_URL = re.compile(
    r"https://(?:www\.)?kaggle\.com/models/"
    r"([\w-]+/[\w-]+)/frameworks/([\w-]+)/variations/([\w.-]+)(?:/versions/(\d+))?/?"
)
_KINDS = (
    "a folder with a saved_model.pb, a TF Hub handle (https://...) or a Kaggle handle "
    "(owner/model/framework/variation[/version])"
)


class HubError(UsageError):
    """A SavedModel that cannot be found, loaded, used as asked, or written."""


def resolve(handle: str, sha256: str = "", *, fetch: bool = True) -> pathlib.Path:
    """Finds the folder of a SavedModel, fetching it where the handle names one that is elsewhere.

    A local handle is looked for as it stands, then by its last part in each folder of the
    environment variable FINE2COARSE_HUB_PATH (separated like PATH); so is a handle of what is
    elsewhere, where its fingerprint is known. Otherwise a Kaggle handle goes to kagglehub, any
    other to TF Hub's resolvers; both keep what they fetched.

    Args:
      handle: a folder, a TF Hub handle or a Kaggle handle.
      sha256: `fingerprint` that the SavedModel must have; empty takes any.
      fetch: whether to look elsewhere than on this machine.

    Raises:
      HubError: where there is none, or its fingerprint is another.
    """
    found = None
    rejected = []
    elsewhere = "://" in handle or kaggle_handle(handle) is not None
    for candidate in _candidates(handle, search=bool(sha256) or not elsewhere, fetch=fetch):
        if not (candidate / SAVED_MODEL).is_file():
            continue
        if not sha256 or fingerprint_of_folder(candidate) == sha256:
            found = candidate
            break
        rejected.append(candidate)
    if found is None and rejected:
        raise HubError(
            f"{rejected[0]} holds another SavedModel than the one wanted: its fingerprint is "
            f"{fingerprint_of_folder(rejected[0])[:12]}, expected {sha256[:12]}; put the folder of "
            f"the right one into {SEARCH_PATH}"
        )
    if found is None and elsewhere and not fetch:
        raise HubError(
            f"SavedModel {handle!r} would have to be fetched, which Keras's safe mode forbids: a "
            "SavedModel is a program. If you trust the file that names it, load that with "
            f"safe_mode=False; or put the SavedModel's folder into one that {SEARCH_PATH} names"
        )
    if found is None:
        raise HubError(
            f"no SavedModel at {handle!r}; expected {_KINDS}. A folder that has moved is found "
            f"again where {SEARCH_PATH} names the folder that it lies in"
        )
    return found


def fingerprint_of_folder(folder: pathlib.Path) -> str:
    """SHA-256 of `saved_model.pb`, graph and signatures but not weights: 64 hexadecimal digits."""
    return hashlib.sha256((folder / SAVED_MODEL).read_bytes()).hexdigest()


def kaggle_handle(handle: str) -> str | None:
    """The handle in kagglehub's form, or None where it is no Kaggle handle."""
    if page := _KAGGLE_URL.fullmatch(handle):
        return "/".join(part for part in page.groups() if part)
    short = _KAGGLE.fullmatch(handle)
    return short.group(1) if short else None


def _candidates(handle: str, *, search: bool, fetch: bool) -> Iterator[pathlib.Path]:
    """Folders that may hold it, the one that a fetch brings last: only then is it fetched."""
    kaggle = kaggle_handle(handle)
    if "://" not in handle:
        yield pathlib.Path(expand(handle))
    for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep):
        if search and folder:
            yield pathlib.Path(expand(folder)) / pathlib.PurePath(handle).name
    if not fetch:
        return
    if kaggle:
        yield _fetch_from_kaggle(handle, kaggle)
    elif "://" in handle:
        yield _fetch_from_tf_hub(handle)


def _fetch_from_tf_hub(handle: str) -> pathlib.Path:
    try:
        import tensorflow as tf
        import tensorflow_hub
    except ImportError as error:
        raise HubError(
            f"TF Hub handle {handle!r}: fetching it needs tensorflow-hub, which cannot be imported "
            f'({error}): pip install "fine2coarse[cpu]", or give the folder of a copy'
        ) from error
    try:
        return pathlib.Path(tensorflow_hub.resolve(handle))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise HubError(f"TF Hub handle {handle!r} could not be fetched: {error}") from error


def _fetch_from_kaggle(handle: str, kaggle: str) -> pathlib.Path:
    try:
        import kagglehub
    except ImportError as error:
        raise HubError(
            f"Kaggle handle {handle!r}: fetching it needs `pip install kagglehub`"
        ) from error
    try:
        return pathlib.Path(kagglehub.model_download(kaggle))
    # kagglehub's and its HTTP client's own errors have no common base but Exception; none of
    # ours can come out of this call.
    except Exception as error:
        raise HubError(
            f"no folder {handle!r} here, and as a Kaggle handle it could not be fetched: {error}"
        ) from error
