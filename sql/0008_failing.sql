-- Hooks whose deliveries have all failed for a while, so that `disable_after` survives a restart of rowhook. A row is
-- written when a hook begins to fail and when it next succeeds, and not in between.

create table failing (
    hook text primary key,
    since timestamptz not null
);

comment on table failing is 'Hooks whose last attempts have all failed.';
comment on column failing.hook is 'The id of the hook''s row, or its name in hooks.toml.';
comment on column failing.since is 'When the first of those attempts was.';
