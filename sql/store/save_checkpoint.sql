-- Saves a checkpoint: what is about to be confirmed to the slot, how far the transaction at which it stands is settled,
-- which hooks have been switched off ($8; $11: whether what they hear is kept) and on ($9) by then, and which table they
-- are in ($10).
with switched_off as (
    insert into off_hook (slot, hook, keeps)
    select $1, hook, keeps
    from unnest($8::text[], $11::boolean[]) as turned (hook, keeps)
    on conflict (slot, hook) do update
    set keeps = excluded.keeps
),

switched_on as (
    delete from off_hook
    where slot = $1
        and hook = any($9::text[])
)

insert into progress (
    slot, system_identifier, timeline, confirmed, commit_lsn, events, rules, hook_table, server_version, relation
)
values (
    $1, $2, $3, $4::text::pg_lsn, $5::text::pg_lsn, $6, $7, $10,
    current_setting('server_version_num')::integer, 'progress'::regclass
)
on conflict (slot) do update
set
    system_identifier = excluded.system_identifier,
    timeline = excluded.timeline,
    -- A session begins where the slot stands, which may be before the last checkpoint.
    confirmed = case
        when (progress.system_identifier, progress.timeline) = (excluded.system_identifier, excluded.timeline)
            then greatest(progress.confirmed, excluded.confirmed)
        else excluded.confirmed
    end,
    gap_found = null,
    gap_told = null,
    commit_lsn = coalesce(excluded.commit_lsn, progress.commit_lsn),
    events = coalesce(excluded.events, progress.events),
    rules = coalesce(excluded.rules, progress.rules),
    hook_table = coalesce(excluded.hook_table, progress.hook_table),
    server_version = excluded.server_version,
    relation = excluded.relation,
    updated_at = clock_timestamp()
