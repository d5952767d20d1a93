-- The condition that the rows of each partition of the table with the oid $1 meet, of those that hold rows.
with recursive tree as (
    select $1::oid as oid
    union all
    select i.inhrelid
    from tree
    join pg_inherits as i on i.inhparent = tree.oid
)
select coalesce(pg_get_partition_constraintdef(c.oid), 'true') as condition
from tree
join pg_class as c on c.oid = tree.oid
where c.relkind <> 'p'
order by c.oid
