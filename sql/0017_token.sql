-- Tokens with which the owners of hooks log in to the API and the page. Only a hash is stored, so that nobody who reads
-- this table can use a token. A token is as long as a key, so one round of SHA-256 is enough.

create table token (
    id bigint generated always as identity primary key,
    name text not null,
    owner text not null,
    hash bytea not null unique
        constraint hash_is_a_sha256
        check (octet_length(hash) = 32),
    scope text not null
        constraint scope_is_known
        check (scope in ('read', 'write')),
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    used_at timestamptz
);

comment on table token is 'Tokens of owners for the API and the page, as hashes.';
comment on column token.name is 'A note of whoever made it.';
comment on column token.owner is 'Whose hooks it opens, and no others.';
comment on column token.scope is 'read: looks only; write: makes and changes hooks too.';
comment on column token.expires_at is 'From then on it opens nothing; null: it does not expire.';
comment on column token.revoked_at is 'Since when it opens nothing any more.';
comment on column token.used_at is 'When it was last used, to the hour.';
