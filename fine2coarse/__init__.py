"""fine2coarse: which labels should a backbone be pretrained on, when the task is coarser?

    import fine2coarse

    result = fine2coarse.run_study("demo:smoke", "runs/smoke")
    print(result)  # or result.to_pandas()
    fine2coarse.load("runs/smoke").predict("photo.jpg")

Importing this package is light: TensorFlow is imported by the modules that use it.
"""

from fine2coarse.api import StudyResult, list_backbones, load, load_config, read_result, run_study
from fine2coarse.errors import Fine2CoarseError
from fine2coarse.sweeps import SweepResult, run_sweep

__all__ = [
    "Fine2CoarseError",
    "StudyResult",
    "SweepResult",
    "list_backbones",
    "load",
    "load_config",
    "read_result",
    "run_study",
    "run_sweep",
]
__version__ = "0.1.0"
