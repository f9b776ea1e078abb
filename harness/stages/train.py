"""train: one step; an artifact, one data role, any number of predictions to learn from."""

from __future__ import annotations
