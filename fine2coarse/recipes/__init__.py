"""Recipes: what a study does, as records with defaults, checked when they are made.

In: a recipe card (an ml_collections ConfigDict) or a recipe's JSON. Out: a `Recipe`, all of it
checked. Needs neither TensorFlow nor Keras. Start with `recipe.py`.
"""
