"""The hook of `dask`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from harness import ExecutorSpec, Params, hookimpl

Kind = Literal["prepare", "build", "train", "compress", "predict", "ensemble", "score", "measure"]


class DaskParams(Params):
    """Where the cluster is, and what is asked of it. Without an address it is started here, one worker per stage."""

    address: str = Field("", description="of a running scheduler: tls://HOST:PORT, or tcp:// on this machine alone")
    scheduler_file: Path | None = Field(None, description="the file that `dask scheduler --scheduler-file` writes")
    tls_ca_file: Path | None = Field(None, description="whose certificates are trusted; with tls_cert and tls_key")
    tls_cert: Path | None = Field(None, description="this side's certificate")
    tls_key: Path | None = Field(None, description="its key")
    resources: Mapping[Kind, Mapping[str, float]] = Field(
        {}, description="what stages of a kind need of a worker: { train = { GPU = 1 } }"
    )
    retries: int = Field(10, ge=0, description="stages, in the whole run, that start again after their worker was lost")
    allow_versions: bool = Field(False, description="use workers with another harness, plugins or Python")
    wait_s: float = Field(60.0, gt=0, description="seconds to wait for the scheduler and a first worker")
    reconnect_s: float = Field(
        300.0, ge=0, description="seconds to wait for a scheduler, or for workers, where all have gone"
    )

    @model_validator(mode="after")
    def _whole(self) -> DaskParams:
        if self.address and self.scheduler_file:
            msg = "address and scheduler_file exclude each other: both say where the scheduler is"
            raise ValueError(msg)
        files = (self.tls_ca_file, self.tls_cert, self.tls_key)
        if any(files) and not all(files):
            msg = "tls_ca_file, tls_cert and tls_key go together: one alone proves nothing"
            raise ValueError(msg)
        return self


@hookimpl
def harness_executors() -> Iterator[ExecutorSpec]:
    """A cluster of machines that share the store."""
    yield ExecutorSpec(
        name="dask",
        summary="Workers of a Dask cluster, a running one (address) or one of this machine; needs harness[dask]",
        version=1,
        reference="https://distributed.dask.org",
        factory="harness_dask.executor:dask_executor",
        params=DaskParams,
        libraries=("distributed",),
        keeps_limits=True,
    )
