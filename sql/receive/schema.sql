-- The queue of `rowhook receive`, in SQLite. Times are milliseconds since 1970.

-- Requests that were accepted and still have jobs. Their numbers are the order of arrival.
create table received (
    number integer primary key autoincrement,
    id text not null,
    -- What the request is about, as JSON: shape, model, event.
    envelope text not null,
    content_type text not null,
    received_at integer not null,
    body blob not null
) strict;

-- Jobs: one task each, to be run on one request. A row is deleted when the task has succeeded.
create table job (
    received integer not null references received (number),
    task text not null,
    -- Jobs of the same task and lane run one after the other. Null: in any order.
    lane text,
    state text not null check (state in ('waiting', 'dead')),
    -- How many attempts have failed.
    attempts integer not null default 0 check (attempts >= 0),
    -- When a waiting job is due; null while an earlier job of its lane waits. When a dead job failed for the last time.
    due integer,
    -- The error of the last attempt.
    error text,
    primary key (received, task)
) strict, without rowid;

-- For claim.sql and next_due.sql: the jobs that may run, the earliest first.
create index job_due on job (task, due, received) where state = 'waiting' and due is not null;
-- For release_lane.sql and add_job.sql: the waiting jobs of a lane, in their order.
create index job_lane on job (task, lane, received) where state = 'waiting' and lane is not null;
-- For dead.sql, and to delete the dead jobs that have expired.
create index job_dead on job (due) where state = 'dead';

-- The ids of all accepted requests, done or not, by which duplicates are recognized.
create table seen (
    id text primary key,
    at integer not null
) strict, without rowid;

-- For forget.sql: the oldest ids.
create index seen_at on seen (at);

-- The size of the queue: the bodies, and 1024 bytes for the rest of each request. Kept here so that it need not be
-- summed up.
create table size (bytes integer not null) strict;
insert into size values (0);

create trigger received_comes after insert on received begin
    update size set bytes = bytes + length(new.body) + 1024;
end;

create trigger received_goes after delete on received begin
    update size set bytes = bytes - length(old.body) - 1024;
end;
