"""What all tests share: where the test data lies."""

from __future__ import annotations

import pathlib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The folder of real test data beside the project; skips where there is none."""
    for folder in (_ROOT.parent / "shared" / "data", _ROOT.parent.parent / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip("the real test data (../shared/data) is not here")
