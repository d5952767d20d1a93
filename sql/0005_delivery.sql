-- Deliveries that could not be made at once. A parked one waits for its next attempt, and survives any crash. A dead
-- one was given up, and is kept so that people can look at it and send it again. A delivery on its first attempt is not
-- here: the slot still has it.
--
-- The deliveries of a lane are made one after the other. Only the first of a lane has a time for its next attempt.
-- Those behind it have none until it is gone.

create table delivery (
    id text primary key
        constraint id_can_be_a_header
        check (id ~ '^[!-~]+$'),
    hook text not null,
    event text not null,
    state text not null
        constraint state_is_known
        check (state in ('parked', 'dead')),
    reason text,
    attempts integer not null
        constraint attempts_are_counted
        check (attempts >= 0),
    next_attempt timestamptz,
    claimed boolean not null default false,
    lane bigint not null,
    other_lane bigint,
    commit_lsn pg_lsn not null,
    event_index bigint not null,
    commit_time timestamptz not null,
    body bytea not null,
    content_type text not null,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint the_dead_have_a_reason
        check (state <> 'dead' or reason is not null),
    constraint the_dead_are_not_tried
        check (state <> 'dead' or next_attempt is null)
);

comment on table delivery is 'Deliveries that wait for another attempt, or have been given up.';
comment on column delivery.id is 'The webhook-id: the same in every attempt and after every restart.';
comment on column delivery.hook is 'The id of the hook''s row, or its name in hooks.toml.';
comment on column delivery.state is 'parked: waits for its next attempt; dead: given up.';
comment on column delivery.reason is 'How the last attempt ended, or why it was given up.';
comment on column delivery.next_attempt is 'When it may be tried again; null: it waits behind another of its lane.';
comment on column delivery.claimed is 'Somebody is at it; next_attempt is when it is due again if they die over it.';
comment on column delivery.lane is 'What it waits in: by default its row, as a hash.';
comment on column delivery.other_lane is 'That of the row''s old key, where an update has changed the key.';
comment on column delivery.commit_lsn is 'With event_index, the position of the event among all events of the database.';
comment on column delivery.body is 'The exact bytes; signatures are made anew for each attempt.';

-- Finds what is due for a hook: the first of each lane, soonest first.
create index delivery_due on delivery (hook, next_attempt)
    where state = 'parked' and next_attempt is not null;

-- Finds the next delivery of a lane.
create index delivery_in_lane on delivery (hook, lane, commit_lsn, event_index)
    where state = 'parked';

create index delivery_in_other_lane on delivery (hook, other_lane, commit_lsn, event_index)
    where state = 'parked' and other_lane is not null;

-- Finds what has not changed for the retention, to delete it.
create index delivery_age on delivery (updated_at);

-- Finds the dead deliveries of a hook, oldest first.
create index delivery_dead on delivery (hook, commit_lsn, event_index)
    where state = 'dead';
