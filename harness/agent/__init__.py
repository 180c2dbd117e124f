"""The one process on a lab host that does its kernel work.

Runs with the lab host's own Python and needs only the standard library, execnet and pyroute2; nothing else of the
harness may be imported from here, because the user's environment does not exist there.
"""
