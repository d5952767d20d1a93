-- The last $3 attempts of a delivery ($1), oldest first, with at most $2 bytes of each body.
select *
from (
    select
        id, number, started_at, took_ms, delivered, status, error, method, url,
        request_headers::text as request_headers,
        substring(request_body for $2) as request_body,
        response_headers::text as response_headers,
        substring(response_body for $2) as response_body
    from attempt
    where delivery = $1
    order by id desc
    limit $3
) as newest
order by id
