"""YANG datastores with NETCONF front ends and an asyncio client."""
