-- Notes how far the transaction at which the slot stands is settled.
insert into progress (slot, commit_lsn, events, rules)
values ($1, $2::text::pg_lsn, $3, $4)
on conflict (slot) do update
set
    commit_lsn = excluded.commit_lsn,
    events = excluded.events,
    rules = excluded.rules,
    updated_at = clock_timestamp()
