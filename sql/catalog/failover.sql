-- One row: what decides whether a promoted standby goes on with the slot $1, as far as the role may see it. A setting
-- that this version of Postgres lacks, or hides from the role, is null.
with standby as (
    -- Those that read the WAL as it is.
    select
        r.application_name,
        s.slot_name::text as slot,
        s.xmin is not null or s.catalog_xmin is not null or r.backend_xmin is not null as gives_feedback
    from pg_stat_replication as r
    left join pg_replication_slots as s on s.active_pid = r.pid
    where r.state in ('streaming', 'catchup')
        and s.slot_type is distinct from 'logical'
),

-- The slots whose standbys the stream waits for.
awaited as (
    select trim(both '" ' from listed.name) as slot
    from pg_settings as g
    cross join unnest(string_to_array(g.setting, ',')) as listed (name)
    where g.name = 'synchronized_standby_slots'
        and trim(both '" ' from listed.name) <> ''
)

select
    (select setting from pg_settings where name = 'sync_replication_slots') as sync_slots,
    (select setting from pg_settings where name = 'hot_standby_feedback') as feedback,
    (select setting from pg_settings where name = 'primary_slot_name') as primary_slot,
    (select setting from pg_settings where name = 'primary_conninfo') as conninfo,
    (select setting::integer from pg_settings where name = 'idle_replication_slot_timeout') as idle_timeout,
    coalesce((select array_agg(application_name order by 1) from standby), '{}') as standbys,
    coalesce((select array_agg(application_name order by 1) from standby where slot is null), '{}') as without_slot,
    coalesce((select array_agg(application_name order by 1) from standby where not gives_feedback), '{}')
        as without_feedback,
    coalesce((
        select array_agg(slot order by 1)
        from standby
        where slot is not null
            and slot not in (select slot from awaited)
    ), '{}') as not_awaited,
    -- Those that nobody reads hold the stream up.
    coalesce((
        select array_agg(a.slot order by 1)
        from awaited as a
        where not exists (
            select
            from pg_replication_slots as s
            where s.slot_name::text = a.slot
                and s.slot_type = 'physical'
                and s.active
        )
    ), '{}') as missing,
    exists (select from awaited) as awaits,
    -- Only some roles see the names of other roles' sessions.
    pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_sessions,
    exists (select from pg_stat_activity where application_name like '%slotsync worker') as copied,
    exists (
        select
        from pg_replication_slots as s
        where s.slot_name::text = $1::text
            and (to_jsonb(s) ->> 'synced')::boolean
    ) as is_copy
