-- The columns of a table ($1) that an ORM would fill with the present time: without a default, and not allowed to be null.
select attname::text
from pg_attribute
where attrelid = $1::text::regclass
    and attnum > 0
    and not attisdropped
    and attnotnull
    and not atthasdef
    and attidentity = ''
    and atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
