"""Programs in the background of a node."""

from __future__ import annotations


def until_ended(pid: str) -> str:
    """A line of shell that waits for the end of such a program.

    It has ended when it is a zombie: a node's first process, runsvdir(8), takes those away every five seconds.
    """
    return f'while read -r _ _ state _ </proc/{pid}/stat && [ "$state" != Z ]; do sleep 0.01; done 2>/dev/null'
