"""measure: one group of rows beside the anchor and its twin, each in a fresh process, alone on the machine."""

from __future__ import annotations

from harness.data import EXAMPLES, write_json
from harness.measuring.blocks import measure_group
from harness.measuring.process import Subject
from harness.specs import Facts
from harness.stages import Work
from harness.suite.types import EnergyConfig, FixedConfig, SpeedConfig

ROW = "row."


def run(work: Work) -> Facts:
    """Output `out`: measure.json with every raw sample."""
    params = work.stage.params
    config = {name: value for name, value in params.items() if name not in ("runtimes", "task", "tasks", "energy")}
    fixed = FixedConfig(**config.pop("fixed", {}))
    task, others = dict(work.options["task"]), work.options.get("tasks", {})
    subjects = {n: {"artifact": str(p), "task": others.get(n, task)} for n, p in work.inputs.items() if n != "data"}
    result = measure_group(
        Subject("anchor", subjects["anchor"]),
        [Subject(name, model) for name, model in sorted(subjects.items()) if name.startswith(ROW)],
        SpeedConfig(**{**config, "workloads": tuple(config["workloads"]), "fixed": fixed}),
        work.inputs["data"] / EXAMPLES,
        seed=int(work.stage.seed or 0),
        progress=work.progress,
        energy=EnergyConfig(**params["energy"]) if "energy" in params else None,
    )
    write_json(work.output() / "measure.json", result)
    failed = {name: row["reason"] for name, row in result["rows"].items() if row["status"] == "failed"}
    return {"failed": failed, "rows": sorted(result["rows"])}
