-- How far rowhook has come in the transaction at which the slot stands. The slot knows whole transactions only; with this, a
-- crash in a large one repeats seconds of it and not all.

create table progress (
    slot text primary key,
    commit_lsn pg_lsn not null,
    events bigint not null
        constraint events_are_counted
        check (events >= 0),
    rules text not null,
    updated_at timestamptz not null default clock_timestamp()
);

comment on table progress is 'How far rowhook has come in the transaction at which the slot stands.';
comment on column progress.commit_lsn is 'The transaction.';
comment on column progress.events is 'So many of its events, from the first on, are settled.';
comment on column progress.rules is 'A hash of [events], by which events are numbered; with others the numbers mean nothing.';
