-- The present. The snapshot of the statement is taken first, so the position is after all commits that it shows.
select
    pg_catalog.pg_snapshot_xmin(s.now)::text as oldest,
    pg_catalog.pg_snapshot_xmax(s.now)::text as until,
    case
        when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
        else pg_catalog.pg_current_wal_insert_lsn()
    end::text as at
from (select pg_catalog.pg_current_snapshot() as now) as s
