-- The partitions that hold the rows of the partitioned tables with the oids $1.
select
    root.oid as root,
    tree.relid::oid as leaf
from unnest($1::oid[]) as root (oid)
cross join lateral pg_partition_tree(root.oid) as tree
where tree.isleaf
    and tree.relid::oid <> root.oid
order by root.oid, tree.relid::oid
