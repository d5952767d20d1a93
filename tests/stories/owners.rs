//! Whose row it is: the owner as of the change, compared as Postgres compares.
