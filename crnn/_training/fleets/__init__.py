"""Training of fleets: many networks of one architecture side by side."""
