"""Pruning: weights that are masked, and heads, neurons and layers that are really removed."""
