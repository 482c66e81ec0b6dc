"""What only TensorFlow knows of training: strategies, the compiled loop, counting operations.

Start with `engine.py`, which implements `training.engine.Engine`.
"""
