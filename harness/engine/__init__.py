"""Engines: what turns a topology into running nodes and links on a lab host."""

from harness.engine.base import Engine, EngineError, NodeState

__all__ = ["Engine", "EngineError", "NodeState"]
