-- The history of requests, for people to look at. Deliveries do not depend on it: it is written after them, in batches,
-- and if there is more than can be written, some of it is left out.

create table attempt (
    id bigint generated always as identity primary key,
    delivery text not null,
    hook text not null,
    event text not null,
    number integer not null
        constraint attempts_count_from_one
        check (number > 0),
    started_at timestamptz not null,
    took_ms double precision not null
        constraint time_does_not_run_backwards
        check (took_ms >= 0),
    delivered boolean not null,
    status integer,
    error text,
    url text not null,
    request_headers jsonb not null
        constraint request_headers_are_an_object
        check (jsonb_typeof(request_headers) = 'object'),
    request_body bytea,
    response_headers jsonb
        constraint response_headers_are_an_object
        check (jsonb_typeof(response_headers) = 'object'),
    response_body bytea
        constraint little_of_a_response_is_kept
        check (octet_length(response_body) <= 4096),
    constraint a_status_or_an_error
        check ((status is null) <> (error is null)),
    constraint what_is_delivered_has_a_status
        check (not delivered or status is not null)
);

comment on table attempt is 'What came of requests: recent failures, and the last successes of each hook, as [history] says.';
comment on column attempt.delivery is 'The webhook-id. A delivery that has arrived has no row in delivery.';
comment on column attempt.hook is 'The id of the hook''s row, or its name in hooks.toml.';
comment on column attempt.number is 'Which attempt of the delivery it was, from 1.';
comment on column attempt.started_at is 'When the request was begun.';
comment on column attempt.took_ms is 'From there to the last byte of the answer that was read, or to giving up.';
comment on column attempt.delivered is 'The endpoint has accepted it.';
comment on column attempt.status is 'The HTTP status; null: there was no answer.';
comment on column attempt.error is 'Why there was no answer.';
comment on column attempt.url is 'The URL, without credentials.';
comment on column attempt.request_headers is 'All but the signature; values that a hook adds may be secret and show as an ellipsis.';
comment on column attempt.request_body is 'The exact bytes; null where they are many, or [history] keeps no bodies.';
comment on column attempt.response_headers is 'Those within the first 4 KiB; cookies show as an ellipsis.';
comment on column attempt.response_body is 'Its first 4 KiB; null where [history] keeps no bodies.';

-- Finds the attempts of a hook, newest first.
create index attempt_of_hook on attempt (hook, id desc);

-- Finds all but the last successes of a hook, to delete them, however many failures it has.
create index attempt_success on attempt (hook, id desc)
    where delivered;

-- Finds the attempts of a delivery, in order.
create index attempt_of_delivery on attempt (delivery, number);

-- Finds what is too old, to delete it.
create index attempt_started on attempt (started_at);
