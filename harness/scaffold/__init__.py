"""Writes a small installable plugin from the templates beside this file: text with placeholders, no network."""
