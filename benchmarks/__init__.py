"""Speed, as ratios within one run. `python -m benchmarks [name …]`; nothing here is a test.

What runs survive is counted by `python -m benchmarks.faults`: docs/faults.md.
"""
