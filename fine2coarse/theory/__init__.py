"""The theory of arXiv 2410.23129 as a laboratory: data, network, training, measurements.

NumPy only (SciPy for statistics). Read in this order: data, labelling, network, training,
measurements, trials, transfers, experiments, verdicts; laboratory runs them. docs/theory.md goes
beside the paper. Imports are left to the modules, so that the package itself stays light.
"""
