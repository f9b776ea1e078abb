"""Bundled plugin: a bag of hashed n-grams, the cheapest student that learns words."""
