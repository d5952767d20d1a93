-- What may identify a row of a table ($1) in the stream: its primary key, and the columns of its replica identity; all
-- columns where it has no primary key. No row: there is no such table.
select array_agg(a.attname::text order by case when i.indisprimary then k.place else a.attnum end) as columns
from pg_index as i
cross join lateral unnest(i.indkey::smallint[]) with ordinality as k (attnum, place)
join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = to_regclass($1::text)
    and (i.indisprimary or i.indisreplident)
    and k.place <= i.indnkeyatts
group by i.indexrelid

union

select array_agg(a.attname::text order by a.attnum) as columns
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = to_regclass($1::text)
    and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
group by c.oid
