-- How far rowhook is in the WAL. `confirmed` is written before it is confirmed to the slot, so a slot that is further
-- ahead was moved by somebody else. The slot knows whole transactions only. The other columns say how far rowhook is
-- within the transaction at that position, so that a crash in a large one repeats seconds of it rather than all of it.

create table progress (
    slot text primary key,
    system_identifier text not null,
    timeline bigint not null,
    confirmed pg_lsn not null,
    gap_told timestamptz,
    commit_lsn pg_lsn,
    events bigint
        constraint events_are_counted
        check (events >= 0),
    rules text,
    updated_at timestamptz not null default clock_timestamp(),
    constraint a_transaction_in_hand_is_whole
        check (num_nulls(commit_lsn, events, rules) in (0, 3))
);

comment on table progress is 'Where rowhook is in the WAL.';
comment on column progress.system_identifier is 'Of the cluster; in another one, the positions mean nothing.';
comment on column progress.timeline is 'Its timeline; a promoted standby and a restored backup have another.';
comment on column progress.confirmed is 'Nothing after this has been confirmed to the slot.';
comment on column progress.gap_told is 'When hooks on rowhook.gap were told that the slot does not go on from here.';
comment on column progress.commit_lsn is 'The transaction in hand, while a large one is.';
comment on column progress.events is 'So many of its events, from the first on, are settled.';
comment on column progress.rules is 'A hash of [events], by which events are numbered; with others the numbers mean nothing.';
