"""What only JAX knows of training: meshes of devices, the jitted step, counting operations.

Start with `engine.py`, which implements `training.engine.Engine`.
"""
