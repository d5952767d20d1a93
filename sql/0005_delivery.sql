-- A delivery that has been given up: its attempts were used up, or its hook was disabled while it waited. It is kept to
-- be looked at and sent again.
--
-- A delivery that is on its way is not here: the replication slot keeps it.

create table delivery (
    id text primary key,
    hook text not null,
    event text not null,
    state text not null
        constraint state_is_known
        check (state in ('dead')),
    reason text not null,
    attempts integer not null
        constraint attempts_are_counted
        check (attempts >= 0),
    commit_lsn pg_lsn not null,
    event_index bigint not null,
    commit_time timestamptz not null,
    body bytea not null,
    content_type text not null,
    created_at timestamptz not null default clock_timestamp()
);

comment on table delivery is 'Deliveries that have been given up, kept to be looked at and sent again.';
comment on column delivery.id is 'The webhook-id: the same in every attempt and after every restart.';
comment on column delivery.hook is 'The id of the hook''s row, or its name in hooks.toml.';
comment on column delivery.reason is 'Why it was given up.';
comment on column delivery.commit_lsn is 'With event_index, the position of the event among all events of the database.';
comment on column delivery.body is 'The exact bytes; signatures are made anew for each attempt.';

-- For "what of this hook was given up, oldest first".
create index delivery_by_hook on delivery (hook, commit_lsn, event_index);
