-- The attempts of a delivery, oldest first.
select
    number, started_at, took_ms, delivered, status, error, method, url, request_headers::text as request_headers, request_body,
    response_headers::text as response_headers, response_body
from attempt
where delivery = $1
order by id
