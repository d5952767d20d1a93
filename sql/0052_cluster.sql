-- A cluster: the hooks are divided into partitions, and each partition is with one sender. A sender that was cut off
-- must not write what its successor has in hand: every transaction in which one writes reads the row of its partition
-- first, and locks it until it ends.
create table partition (
    slot text not null,
    number integer not null,
    epoch bigint not null default 1,
    sender text,
    since timestamptz not null default clock_timestamp(),
    primary key (slot, number)
);

comment on table partition is 'Which sender of a cluster has which partition of the hooks.';
comment on column partition.number is 'partition_of the ids of its hooks.';
comment on column partition.epoch is 'Counted up each time that the partition changes hands. What a sender of an earlier one writes is refused.';
comment on column partition.sender is 'The sender that has it; null: it was given back, or taken away.';
comment on column partition.since is 'When it came there.';

create table sender (
    slot text not null,
    name text not null,
    host text not null,
    version text not null,
    since timestamptz not null default clock_timestamp(),
    seen timestamptz not null default clock_timestamp(),
    primary key (slot, name)
);

comment on table sender is 'The senders of a cluster, for people who look.';
comment on column sender.name is 'A name that no other process has had.';
comment on column sender.seen is 'When it was there last. It says so every ten seconds.';

-- The partition of a hook, of so many. It is the same for every version.
create function partition_of(hook text, partitions integer) returns integer
    language sql
    immutable
    set search_path = pg_catalog, pg_temp
as $$
    select (
        ('x' || encode(substring(sha256(convert_to(hook, 'UTF8')) from 1 for 4), 'hex'))::bit(32)::bigint % partitions
    )::integer
$$;
