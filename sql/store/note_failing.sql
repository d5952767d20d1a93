-- Notes since when hooks have been failing, and forgets it of those that have had a success.
with word as (
    select hook, since
    from unnest($1::text[], $2::timestamptz[]) as said (hook, since)
),
-- One statement never touches a row twice: a hook is in one of the two.
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
