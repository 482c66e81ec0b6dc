"""Recipes, runs, studies and their reports."""
