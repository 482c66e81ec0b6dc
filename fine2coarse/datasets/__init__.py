"""Datasets as TFDS builders: images stored once, labelled with their leaf."""
