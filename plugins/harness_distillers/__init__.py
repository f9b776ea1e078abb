"""Distillers: losses that train a student from labels, from stored teacher outputs, or from both."""
