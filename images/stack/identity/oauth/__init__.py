"""OAuth 2.0 and OpenID Connect: Authlib's grants on our store, and a thin adapter to Starlette."""
