"""Extractive question answering: a bundled plugin with SberQuAD and a task for question files of your own."""
