"""Who is who: tenants, users, programs and their tokens."""
