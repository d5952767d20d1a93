-- Records since when hooks have been failing, and deletes that of hooks that have had a success.
with word as (
    select hook, since
    from unnest($1::text[], $2::timestamptz[]) as said (hook, since)
),
-- No statement may touch a row twice, and none does: a hook is either deleted here or inserted below.
recovered as (
    delete from failing
    using word
    where failing.hook = word.hook
        and word.since is null
)
insert into failing (hook, since)
select hook, since
from word
where since is not null
on conflict (hook) do update
set since = excluded.since
