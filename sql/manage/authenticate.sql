-- What is known of the token with this hash, if it is still good. Notes that it was used, at most once an hour.
with good as (
    select id, name, owner, scope, used_at
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

select id, name, owner, scope
from good
