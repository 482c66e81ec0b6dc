"""Names of the experiments, known without NumPy."""

KERAS_PATCHES = "keras_patches"
EXPERIMENTS = (
    "default",
    "equal_loss",
    "mechanism",
    "subclasses",
    "granularity",
    "hard_share",
    "distractors",
    "label_noise",
    "samples",
    "dimension",
    "superclasses",
    "label_per_image",
    "finetuning",
    "transfers",
    KERAS_PATCHES,
)
"""In the order of the report."""
