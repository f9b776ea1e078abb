"""Speed, as ratios within one run. `python -m benchmarks [name …]`; nothing here is a test."""
