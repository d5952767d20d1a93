-- One row: the server, this session, and its role.
select
    current_setting('server_version_num')::integer as version,
    current_setting('server_version') as version_name,
    current_setting('wal_level') as wal_level,
    pg_is_in_recovery() as in_recovery,
    pg_postmaster_start_time()::text as started,
    current_setting('max_replication_slots')::integer as max_slots,
    (select count(*)::integer from pg_replication_slots) as used_slots,
    current_setting('max_wal_senders')::integer as max_senders,
    (select count(*)::integer from pg_stat_get_wal_senders()) as used_senders,
    current_setting('max_slot_wal_keep_size') as wal_keep,
    current_setting('synchronous_standby_names') as synchronous_standby_names,
    (select version from pg_stat_ssl where pid = pg_backend_pid() and ssl) as tls,
    current_database()::text as database,
    (select system_identifier::text from pg_control_system()) as system_identifier,
    -- The name of a WAL file begins with the timeline. A standby writes no WAL, and the function fails there.
    case
        when not pg_is_in_recovery()
            then ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
    end as timeline,
    case when not pg_is_in_recovery() then pg_current_wal_flush_lsn()::text end as flushed,
    current_user::text as role,
    r.rolsuper as superuser,
    r.rolreplication as replication,
    -- The role that a managed service grants in place of the attribute REPLICATION. Those of Cloud SQL, AlloyDB and Azure
    -- only let their members give it.
    (
        select m.rolname::text
        from pg_roles as m
        where m.rolname in ('rds_replication', 'rds_superuser', 'neon_superuser')
            and pg_has_role(current_user, m.oid, 'member')
        limit 1
    ) as managed_role,
    has_database_privilege(current_database(), 'create') as may_create
from pg_roles as r
where r.rolname = current_user
