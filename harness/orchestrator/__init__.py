"""The lab's side of the orchestrator: a client of what the stack publishes, and of nothing else of it.

`client.Orchestrator.of(lab)` speaks with the lab's node of role `stack` as program `labctl`: tokens from identity
(RFC 6749), accounts by SCIM (RFC 7644), the registry by RESTCONF (RFC 8040), orders by TMF641. Every call that changes
something can be repeated: what is there already stays. `plug` does for a whole lab what `labctl up` needs.

Here are only the errors, which every command of labctl knows; the rest is imported where it is needed.
"""

from harness.orchestrator.errors import OrchestratorError, RefusedError, UnavailableError

__all__ = ["OrchestratorError", "RefusedError", "UnavailableError"]
