-- Puts acts on record. Those from the stream say when they were committed, and where the stream has them: what is read
-- again is not written again. Of owners who were forgotten since, nothing is written that they can be known by.
insert into audit (
    at, actor, actor_owner, token, address, via, what, hook, delivery, event, owner, before, after, commit_lsn, place
)
select
    coalesce(act.at, clock_timestamp()),
    act.actor,
    act.actor_owner,
    act.token,
    act.address,
    act.via,
    act.what,
    act.hook,
    act.delivery,
    act.event,
    case when gone.is_owner then forgotten_name(act.owner) else act.owner end,
    case when gone.is_any is null then act.before::jsonb end,
    case when gone.is_any is null then act.after::jsonb end,
    act.commit_lsn::pg_lsn,
    act.place
from unnest(
    $1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::integer[]
) with ordinality as act (
    at, actor, actor_owner, token, address, via, what, hook, delivery, event, owner, before, after, commit_lsn, place,
    line
)
left join lateral (
    select
        bool_or(forgotten.owner = hashtextextended(act.owner, 0)) as is_owner,
        bool_or(true) as is_any
    from forgotten
    where act.at <= forgotten.at
        and forgotten.owner in (
            hashtextextended(act.owner, 0),
            hashtextextended(act.before::jsonb ->> 'owner', 0),
            hashtextextended(act.after::jsonb ->> 'owner', 0)
        )
) as gone on true
order by act.line
on conflict (commit_lsn, place) where commit_lsn is not null do nothing
