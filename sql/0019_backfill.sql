-- A backfill sends the existing rows of a table to a hook, as if they happened now. It goes through the table in the
-- order of its key, a chunk in each transaction, and records its position here in the same transaction. So after a
-- crash it goes on where it was, and sends no row twice.

create table backfill (
    id bigint generated always as identity primary key,
    event text not null,
    hook text not null,
    condition text,
    since timestamptz,
    rate integer not null
        constraint rate_is_not_zero
        check (rate > 0),
    state text not null default 'running'
        constraint state_is_known
        check (state in ('running', 'done', 'cancelled', 'failed')),
    position jsonb,
    passed_over jsonb not null default '[]'
        constraint passed_over_is_a_list
        check (jsonb_typeof(passed_over) = 'array'),
    at_end boolean not null default false,
    sent bigint not null default 0,
    estimate bigint,
    error text,
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    constraint what_failed_says_why
        check (state <> 'failed' or error is not null)
);

comment on table backfill is 'Tables that are sent to hooks row by row, and how far that is.';
comment on column backfill.condition is 'SQL of the operator; only rows for which it is true are sent.';
comment on column backfill.since is 'Only rows that were committed since then.';
comment on column backfill.rate is 'Rows a second, at most.';
comment on column backfill.position is 'The key of the last row that was looked at.';
comment on column backfill.passed_over is 'Keys of rows that somebody was changing just then; they are looked at again.';
comment on column backfill.at_end is 'Every row has been looked at; what was passed over is left.';
comment on column backfill.estimate is 'How many rows the table had, by its statistics, when it began.';
