"""Recurrent students: small, quick to train on a CPU, exportable."""
