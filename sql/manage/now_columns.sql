-- The columns of a table ($1) that an ORM would fill with the current time: dates and timestamps that are not null and
-- have no default.
select attname::text
from pg_attribute
where attrelid = $1::text::regclass
    and attnum > 0
    and not attisdropped
    and attnotnull
    and not atthasdef
    and attidentity = ''
    and atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
