-- The slot with the name $1. A column that older versions lack is read through jsonb, so one query serves all versions.
select
    s.slot_type as type,
    s.plugin::text,
    s.database::text,
    s.temporary,
    s.active_pid,
    a.application_name,
    s.wal_status,
    s.two_phase,
    -- Postgres 16 says only that there was a conflict with what the primary has removed.
    coalesce(
        to_jsonb(s) ->> 'invalidation_reason',
        case when (to_jsonb(s) ->> 'conflicting')::boolean then 'conflict' end
    ) as invalidation_reason,
    s.confirmed_flush_lsn::text as confirmed,
    s.safe_wal_size,
    -- A standby writes no WAL, and can be read as far as it has replayed that of the primary.
    pg_wal_lsn_diff(
        case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
        s.confirmed_flush_lsn
    )::bigint as lag,
    coalesce((to_jsonb(s) ->> 'failover')::boolean, false) as failover
from pg_replication_slots as s
left join pg_stat_activity as a on a.pid = s.active_pid
where s.slot_name::text = $1::text
