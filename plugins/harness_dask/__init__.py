"""Stages on the workers of a Dask cluster: https://distributed.dask.org."""
