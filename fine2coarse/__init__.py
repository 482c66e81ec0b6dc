"""fine2coarse: which labels should a backbone be pretrained on, when the task is coarser?

    import fine2coarse

    result = fine2coarse.run_study("demo:smoke", "runs/smoke")
    print(result)  # or pandas.DataFrame(result.table)

Importing this package is light: TensorFlow is imported by the modules that use it.
"""

from fine2coarse.api import StudyResult, load_config, read_result, run_study
from fine2coarse.errors import Fine2CoarseError

__all__ = ["Fine2CoarseError", "StudyResult", "load_config", "read_result", "run_study"]
__version__ = "0.1.0"
