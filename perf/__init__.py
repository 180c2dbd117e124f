"""Benchmarks: each measures ours and its floor beside it, interleaved in one run (docs/how-to/measure.md).

`labctl bench` says which there are. Results are JSON files in `perf/results/`.
"""
