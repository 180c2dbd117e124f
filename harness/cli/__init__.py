"""`labctl`: the command line. `labctl.py` makes the environment and hands over to `python -m harness.cli`."""
