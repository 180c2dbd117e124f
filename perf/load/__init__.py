"""Provisioning load: orders, edits, sessions and people, as many as a scenario says, whether the stack keeps up or not.

    locust -f perf/load/provisioning.py --scenario step          # by hand, with Locust's page on http://localhost:8089
    labctl bench load --scenario step                            # the same without a page; keeps the result
    labctl bench orders                                          # one order after the other, beside its floor

`scenarios/*.toml` say who does what, how the load moves, and what is promised (docs/how-to/measure.md).
"""
