"""A third-party plugin for tests: everything in numpy, so that whole suites run in seconds."""
