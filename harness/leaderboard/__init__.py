"""Leaderboards: records of several machines, people and suites in one table that ranks only what can be compared."""
