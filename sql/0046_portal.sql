-- Links that open the portal for an owner. Each works once. From then on its row is what the session of the portal
-- stands on: a session is over when its row is gone. Only a hash of the key is stored, so that nobody who reads this
-- table can use a link.

create table portal_link (
    id bigint generated always as identity primary key,
    owner text not null,
    hash bytea not null unique
        constraint hash_is_a_sha256
        check (octet_length(hash) = 32),
    made_at timestamptz not null default clock_timestamp(),
    used_at timestamptz,
    ends_at timestamptz not null
);

-- Each link that is made deletes those that are over, the oldest first.
create index portal_link_ends_at on portal_link (ends_at);

comment on table portal_link is 'Links that open the portal for an owner, as hashes, and the sessions that they opened. Deleting a row ends its session.';
comment on column portal_link.owner is 'Whose hooks it opens, and no others.';
comment on column portal_link.hash is 'The SHA-256 of the key in the link.';
comment on column portal_link.used_at is 'When it was used. It opens nothing any more.';
comment on column portal_link.ends_at is 'Until when it can be used, and once it was, until when its session can last.';
