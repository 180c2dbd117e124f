"""SCIM 2.0 (RFC 7643, RFC 7644): administration of tenants, users and programs."""
