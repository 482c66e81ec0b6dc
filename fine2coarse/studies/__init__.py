"""Many runs: every arm with every seed, shared among processes and hosts.

In: a recipe and prepared datasets. Out: a study folder: runs, `results.csv`, `data.json`. Start
with `study.py`, then `worker.py`.
"""

from fine2coarse import keras_settings

keras_settings.prefer_default_backend()  # before TensorFlow, which imports Keras
