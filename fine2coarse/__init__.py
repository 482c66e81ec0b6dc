"""fine2coarse: which labels should a backbone be pretrained on, when the task is coarser?

Importing this package is light: TensorFlow is imported by the modules that use it.
"""

__version__ = "0.1.0"
