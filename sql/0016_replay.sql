-- What it takes to send again what has been delivered: the position of its event, and its lane. Attempts that were
-- recorded before this have neither, and cannot be replayed.

alter table attempt
    add column commit_lsn pg_lsn,
    add column event_index bigint,
    add column commit_time timestamptz,
    add column lane bigint,
    add column other_lane bigint,
    add constraint a_position_is_whole
        check (num_nulls(commit_lsn, event_index, commit_time, lane) in (0, 4));

comment on column attempt.commit_lsn is 'As in delivery, with event_index, commit_time, lane and other_lane: for replays.';

-- Finds what is parked or dead, newest first, page by page.
create index delivery_newest on delivery (created_at, id);
