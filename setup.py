"""What pyproject.toml cannot say: cards and programs are installed as parts of the package."""

from setuptools import find_packages, setup

# Subpackage → folder at the top of the project.
_MAPPED = {"fine2coarse.configs": "configs", "fine2coarse.launch": "launch"}
_DATA_FILES = ("npz", "txt", "csv", "tsv", "gz", "css", "html")

setup(
    packages=[*find_packages(include=["fine2coarse", "fine2coarse.*"]), *_MAPPED],
    package_dir=_MAPPED,
    package_data={
        "fine2coarse": [f"**/*.{kind}" for kind in _DATA_FILES],
        "fine2coarse.configs": ["*.csv"],
        "fine2coarse.launch": ["cluster/*"],
    },
)
