"""Sentiment of reviews: a bundled plugin with the RuReviews task and a task for reviews of your own."""
