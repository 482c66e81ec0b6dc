"""The theory of arXiv 2410.23129 as a simulation: data, network, training, measurements.

In: a scale and seeds. Out: rows, verdicts on the paper's statements, pictures. NumPy only (SciPy
for statistics) but for `keras_patches.py`. Start with `data.py`; then labelling, network, training,
measurements, trials, experiments, statements, verdicts. docs/theory.md goes beside the paper.
"""
