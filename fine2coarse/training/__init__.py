"""The training loop: strategy, schedule, losses, metrics, checkpoints."""
