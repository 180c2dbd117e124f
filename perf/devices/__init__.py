"""B2 to B4: a controller and 10, 100 and 1,000 boxes. `python -m perf.devices --help`."""
