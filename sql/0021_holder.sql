-- The rowhook that holds a slot. One that has lost it, and does not know that yet, must not write deliveries that its
-- successor is making. So every transaction that parks deliveries reads this row first, and locks it until it ends.
create table holder (
    slot text primary key,
    name text not null,
    since timestamptz not null default clock_timestamp()
);

comment on table holder is 'Which rowhook reads a slot, so that another that has lost it does no harm.';
comment on column holder.name is 'A name that no other process has had.';
comment on column holder.since is 'When it took the slot over.';
