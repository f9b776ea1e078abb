"""Vocabulary trimming: the same model without the tokens that a task never needs."""
