"""identity: tenants, users and programs; the stack's OAuth 2.0 and OpenID Connect issuer."""
