"""Arguments of the public classes: arrays checked and converted for the core."""
