-- The queue of `rowhook receive`, in SQLite. Times are milliseconds since 1970.

-- What was accepted and is not done. Its number is the order of arrival.
create table received (
    number integer primary key autoincrement,
    id text not null,
    -- What it is about, as JSON: shape, model, event.
    envelope text not null,
    content_type text not null,
    received_at integer not null,
    body blob not null
) strict;

-- One task that is to be done about it. A row goes when the task has succeeded.
create table job (
    received integer not null references received (number),
    task text not null,
    -- Jobs of one task and lane are done one after the other. Null: no order.
    lane text,
    state text not null check (state in ('waiting', 'dead')),
    -- Attempts that have failed.
    attempts integer not null default 0 check (attempts >= 0),
    -- Of a waiting one; null while an earlier one of its lane waits. Of a dead one, when it was given up.
    due integer,
    -- What the last attempt failed with.
    error text,
    primary key (received, task)
) strict, without rowid;

-- What may be done next, and when: the first of each lane, earliest first.
create index job_due on job (task, due, received) where state = 'waiting' and due is not null;
-- Who is next in a lane.
create index job_lane on job (task, lane, received) where state = 'waiting' and lane is not null;
-- Dead ones, by when they died.
create index job_dead on job (due) where state = 'dead';

-- The ids of what was accepted, done or not, so that a repetition is known.
create table seen (
    id text primary key,
    at integer not null
) strict, without rowid;

-- What can be forgotten.
create index seen_at on seen (at);

-- How large the queue is, bodies and what stands beside them, so that it can be bounded without counting.
create table size (bytes integer not null) strict;
insert into size values (0);

create trigger received_comes after insert on received begin
    update size set bytes = bytes + length(new.body) + 1024;
end;

create trigger received_goes after delete on received begin
    update size set bytes = bytes - length(old.body) - 1024;
end;
