"""What a report becomes: markdown with figures, CSV, JSON, a LaTeX table."""
