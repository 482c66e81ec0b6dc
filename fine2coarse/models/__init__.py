"""Backbones and heads; this room alone knows which exist."""
