"""Export to TF Hub's SavedModel form, and a Keras 3 layer that loads it."""
