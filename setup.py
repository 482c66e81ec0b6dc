"""Installation of fine2coarse; settings of ruff and pytest stand in pyproject.toml.

TensorFlow is an extra, because `tensorflow` and `tensorflow-tpu` provide the same module and must
never be installed together: choose one of `cpu`, `gpu` and `tpu`. KerasHub (through
tensorflow-text) and tensorflow-hub (through tf-keras) both demand `tensorflow` by name, so on a TPU
they are installed without their dependencies: see BUILD.md.
"""

import pathlib

from setuptools import find_packages, setup

_HERE = pathlib.Path(__file__).parent

# Bounds are the versions tested, up to the next that may break; BUILD.md says why each is here.
_REQUIRED = [
    "absl-py>=2.1,<3",
    "importlib_resources>=6,<8",  # tensorflow-datasets imports it without declaring it
    "keras>=3.15,<3.16",
    "matplotlib>=3.9,<4",
    "ml-collections>=1.1,<1.2",
    "numpy>=2.1,<3",
    "pillow>=11.3,<13",  # 11.3 reads AVIF
    "scipy>=1.14,<2",
    "tensorflow-datasets>=4.9.10,<4.9.11",
    "tqdm>=4.66,<5",
]
# tensorflow-text and tf-keras must be of TensorFlow's own minor version.
_BESIDE_TENSORFLOW = [
    # tf.summary needs it and TensorFlow 2.21 no longer brings it; the bounds here and below also
    # make pip refuse an installation with `tpu` and another of the three.
    "tensorboard>=2.21,<2.22",
    "keras-hub>=0.32,<0.33",
    "tensorflow-text>=2.21,<2.22",
    "tensorflow-hub>=0.16.1,<0.17",
    "tf-keras>=2.21,<2.22",
    "setuptools<82",  # tensorflow-hub imports pkg_resources, which 82 no longer has
]
# What keras-hub needs besides tensorflow-text; keras-hub itself comes without dependencies.
_BESIDE_TPU = [
    "tensorboard>=2.20,<2.21",
    "kagglehub>=0.3,<2,!=1.0.1",
    "packaging>=23",
    "protobuf>=5",
    "regex>=2024",
    "rich>=13,<16",
    "sentencepiece>=0.2,<0.3",
    "tokenizers>=0.20,<1",
]
_TEST = ["pytest>=8,<10", "dill>=0.3.8,<0.5", "scikit-learn>=1.5,<2"]
_CLUSTERS = ["faiss-cpu>=1.15,<2"]
_DATA_FILES = ("npz", "txt", "csv", "tsv", "gz", "css")

setup(
    name="fine2coarse",
    version="0.1.0",
    description="Which labels should a backbone be pretrained on, when the task is coarser?",
    long_description=(_HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["fine2coarse", "fine2coarse.*"]),
    package_data={"fine2coarse": [f"**/*.{kind}" for kind in _DATA_FILES]},
    install_requires=_REQUIRED,
    extras_require={
        "cpu": ["tensorflow>=2.21,<2.22", *_BESIDE_TENSORFLOW],
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22", *_BESIDE_TENSORFLOW],
        "tpu": ["tensorflow-tpu>=2.20,<2.21", *_BESIDE_TPU],
        "clusters": _CLUSTERS,
        "test": [*_TEST, *_CLUSTERS],
        "dev": [*_TEST, *_CLUSTERS, "ruff>=0.9,<0.18"],
    },
)
