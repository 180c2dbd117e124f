#!/bin/sh
# No service starts because its package is installed: runit starts what a node needs.
exit 101
