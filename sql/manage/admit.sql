-- What the token with this hash opens, if it still does; and notes that it was used, once an hour at most.
with good as (
    select id, owner, scope, used_at
    from token
    where hash = $1
        and revoked_at is null
        and (expires_at is null or expires_at > clock_timestamp())
),

used as (
    update token
    set used_at = clock_timestamp()
    from good
    where token.id = good.id
        and (good.used_at is null or good.used_at < clock_timestamp() - interval '1 hour')
)

select owner, scope
from good
