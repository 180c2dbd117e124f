"""The portal: what tenants and administrators see of the orchestrator."""
