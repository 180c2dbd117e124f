"""B4: durable edits over RESTCONF. `python -m perf.edits --help`."""
