-- The partitions that hold the rows of the partitioned tables among those with the oids $1. It waits for no lock, as
-- pg_partition_tree would.
with recursive tree as (
    select c.oid as root, c.oid as oid
    from pg_class as c
    where c.oid = any($1::oid[])
        and c.relkind = 'p'
    union all
    select tree.root, i.inhrelid
    from tree
    join pg_inherits as i on i.inhparent = tree.oid
)
select tree.root, tree.oid as leaf
from tree
join pg_class as c on c.oid = tree.oid
where c.relkind <> 'p'
order by tree.root, tree.oid
