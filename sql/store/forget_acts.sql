-- Deletes some of the acts that are older than the retention. The last retention on record stays: by it, the trigger of
-- the table knows what may go.
delete from audit
where id = any(array(
    select id
    from audit
    where at < clock_timestamp() - make_interval(secs => $1)
        and id <> (select max(id) from audit where what = 'audit.retention')
    order by at
    limit $2
))
