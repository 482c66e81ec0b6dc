"""How far random changes of an image go, and what is drawn for them. Imports no TensorFlow."""

from __future__ import annotations

import math

from fine2coarse.recipes.phase_spec import AugmentSpec

# Scale and aspect ratio of the random crop: Szegedy et al., arXiv 1409.4842, section 6.
INCEPTION_AREA = (0.08, 1.0)
INCEPTION_RATIO = (3 / 4, 4 / 3)
# Test-time augmentation shows more of the image than training does.
TEST_CROP = AugmentSpec(crop="inception", flip=True, min_area=0.25)

# RandAugment. Strength 10 means these, as in the reference implementation of AutoAugment; a
# magnitude of 15 or more (Steiner et al., arXiv 2106.10270, table 3) goes beyond.
FULL_MAGNITUDE = 10.0
MAX_ROTATION = math.radians(30.0)
MAX_SHEAR = 0.3
MAX_SHIFT = 0.45  # of the side; Cubuk et al. use 100 px at 224
MAX_ENHANCEMENT = 0.9
GREY = 0.5
LUMA = (0.299, 0.587, 0.114)

# What `random_bits.uniform` draws for: numbers of purposes, of which some take several.
FLIP, SHIFT, WINDOW, OPERATIONS, MIXUP = 0, 1, 2, 64, 128
NUM_ATTEMPTS = 16
"""At a window of the area wanted. TensorFlow makes 100; where one in three fits, all of 16 fail
once in 700 images, which are then shown whole."""
WINDOW_PURPOSES = range(WINDOW, WINDOW + 1 + NUM_ATTEMPTS)
