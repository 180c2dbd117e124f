"""The portal's tables. Nothing in them is worth stealing: tokens are sealed with a key that only a cookie holds."""

MIGRATIONS = (
    """
    CREATE TABLE logins (
        state TEXT PRIMARY KEY, browser TEXT NOT NULL, nonce TEXT NOT NULL, verifier TEXT NOT NULL,
        target TEXT NOT NULL, expires INTEGER NOT NULL
    );
    CREATE INDEX logins_by_end ON logins (expires);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, created INTEGER NOT NULL, used INTEGER NOT NULL, renew INTEGER NOT NULL,
        checked INTEGER NOT NULL, person TEXT NOT NULL, sealed TEXT NOT NULL
    );
    CREATE TABLE plans (
        id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        made INTEGER NOT NULL, content TEXT NOT NULL, claimed INTEGER, order_id TEXT
    );
    CREATE INDEX plans_by_session ON plans (session, made);
    """,
)
