-- Hooks that rowhook cannot use, where their rows have no place for the reason: those of a table of the application,
-- and those that rowhook has panicked on, which are tried again when the row changes or rowhook starts.
create table invalid_hook (
    hook text primary key,
    reason text not null,
    panicked boolean not null,
    since timestamptz not null default clock_timestamp()
);

comment on table invalid_hook is 'Why hooks cannot be used, beside the column invalid of rowhook''s own table.';
comment on column invalid_hook.hook is 'The id of the hook''s row, or its name in hooks.toml.';
comment on column invalid_hook.panicked is 'rowhook has a bug; the deliveries of the hook are kept.';

-- Which delivery keeps the slot where it is, where that has lasted for long.
alter table progress
    add column held_since timestamptz,
    add column held_hook text,
    add constraint what_is_held_is_known
        check (num_nulls(held_since, held_hook) in (0, 2));

comment on column progress.held_since is 'Since when the oldest unsettled delivery is held; null: not for long.';
comment on column progress.held_hook is 'The hook of that delivery.';
