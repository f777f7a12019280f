"""Backbones, one architecture a file; each gives a grid of local features and the network's own vector."""
