"""Thousands of boxes in one process: NETCONF servers that call a controller home, as ours do (RFC 8071).

    python3 -m perf.simulator --devices 1000 --controller 127.0.0.1:4335 --identities FOLDER …

Each is a whole server on yangkit with the YANG modules of its personality (read from the boxes' own files), a
candidate, confirmed commits, notifications, and a startup file if it is given a folder for it. What it lacks is a
kernel: a configuration is checked by libyang, kept and told, and builds nothing. Those of a model share one schema.

`boxes` is one box, `behaviour` what may be wrong with it, `identities` how it comes to a certificate that a controller
believes, `fleet` all of them, `command` the command line.
"""
