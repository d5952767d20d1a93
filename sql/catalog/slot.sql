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
    -- Null on a standby, where pg_current_wal_lsn() fails.
    case
        when not pg_is_in_recovery() then pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint
    end as lag,
    coalesce((to_jsonb(s) ->> 'failover')::boolean, false) as failover
from pg_replication_slots as s
left join pg_stat_activity as a on a.pid = s.active_pid
where s.slot_name::text = $1::text
