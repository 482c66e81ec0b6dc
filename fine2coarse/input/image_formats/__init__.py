"""Formats of image files, a module each: from bytes to pixels in TensorFlow operations alone."""
