"""The store in PostgreSQL, through psycopg 3 (extra `postgres`)."""
