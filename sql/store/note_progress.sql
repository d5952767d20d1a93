-- Notes what the slot is about to hear, and how far the transaction at which it stands is settled.
insert into progress (slot, system_identifier, timeline, confirmed, commit_lsn, events, rules)
values ($1, $2, $3, $4::text::pg_lsn, $5::text::pg_lsn, $6, $7)
on conflict (slot) do update
set
    system_identifier = excluded.system_identifier,
    timeline = excluded.timeline,
    -- A session begins where the slot stands, which may be before what was noted.
    confirmed = case
        when (progress.system_identifier, progress.timeline) = (excluded.system_identifier, excluded.timeline)
            then greatest(progress.confirmed, excluded.confirmed)
        else excluded.confirmed
    end,
    gap_told = null,
    commit_lsn = coalesce(excluded.commit_lsn, progress.commit_lsn),
    events = coalesce(excluded.events, progress.events),
    rules = coalesce(excluded.rules, progress.rules),
    updated_at = clock_timestamp()
