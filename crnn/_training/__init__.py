"""The core of training: data, steps, runs and their checkpoints."""
