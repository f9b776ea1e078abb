"""What a run leaves behind: what a record is, reading one that may come from anybody, making one."""

from harness.records.confidence import read_confidence
from harness.records.document import SCHEMA, SUFFIX, Json, Records
from harness.records.making import RunFacts, commit, make_records, with_earlier
from harness.records.reading import Checked, Line, RecordError, check, read_records, scan
from harness.records.samples import MOST, PLAIN, packed, read_samples

__all__ = [
    "MOST", "PLAIN", "SCHEMA", "SUFFIX", "Checked", "Json", "Line", "RecordError", "Records", "RunFacts", "check",
    "commit", "make_records", "packed", "read_confidence", "read_records", "read_samples", "scan", "with_earlier",
]  # fmt: skip
