-- Makes a link to the portal, and deletes some of those that are over. What another is deleting is left to it.
with over as (
    select id
    from portal_link
    where ends_at < clock_timestamp()
    order by ends_at
    limit 1000
    for update skip locked
),

deleted as (
    delete from portal_link
    using over
    where portal_link.id = over.id
)

insert into portal_link (owner, hash, ends_at)
values ($1, $2, clock_timestamp() + make_interval(secs => $3))
returning id, ends_at
