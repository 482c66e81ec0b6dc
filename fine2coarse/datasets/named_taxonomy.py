"""A taxonomy by name or by what holds it: also the demo's, and a folder of photographs'."""

from __future__ import annotations

import pathlib

from fine2coarse.datasets.demo import DemoConfig
from fine2coarse.datasets.folder_survey import FolderSurvey, survey_folder
from fine2coarse.errors import UsageError
from fine2coarse.taxonomy.open import TAXONOMIES, open_taxonomy
from fine2coarse.taxonomy.taxonomy import Taxonomy
from fine2coarse.taxonomy.taxonomy_file import AUTO, SUFFIXES

_DEMO = "demo"


def open_named_taxonomy(
    name: str | None, synsets: str = "", categories: str = "", taxonomy_format: str = AUTO
) -> tuple[Taxonomy, FolderSurvey | None]:
    """A taxonomy, and what was found beside it where it is a folder's.

    Args:
      name: 'demo', a folder or archive of photographs, or what `open_taxonomy` takes.
      synsets: see `open_taxonomy`.
      categories: see `open_taxonomy`.
      taxonomy_format: see `open_taxonomy`.

    Raises:
      UsageError, TaxonomyError, OSError: see `open_taxonomy`.
      SourceError: where a folder or archive holds no taxonomy.csv, or is damaged.
    """
    if name is None or synsets or categories or name in TAXONOMIES:
        return open_taxonomy(name, synsets, categories, taxonomy_format), None
    if taxonomy_format != AUTO and not pathlib.Path(name).is_file():
        raise UsageError(f"--taxonomy_format goes with a file; got --taxonomy={name}")
    if name == _DEMO:
        return DemoConfig(name=_DEMO).taxonomy(), None
    path = pathlib.Path(name)
    is_file = path.suffix.lower() in SUFFIXES or taxonomy_format != AUTO
    if path.is_dir() or (path.is_file() and not is_file):
        survey = survey_folder(path)
        return survey.taxonomy, survey
    return open_taxonomy(name, taxonomy_format=taxonomy_format), None
