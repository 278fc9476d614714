"""The core of a network: checked arrays in, passes over layers and gradients out."""
