"""The hook of the question answering tasks and the params that a suite may set."""
