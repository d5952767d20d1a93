-- Requests with an Idempotency-Key that created or changed something. A repeated request gets the same answer, and
-- nothing is done twice. Rows are kept for a day. While there is no answer yet, there is no status. After a minute
-- without one, the first request is taken for lost.

create table idempotency (
    caller text not null,
    key text not null,
    fingerprint bytea not null,
    status integer
        constraint status_is_one_of_http
        check (status between 100 and 599),
    body bytea,
    created_at timestamptz not null default clock_timestamp(),
    primary key (caller, key),
    constraint an_answer_is_whole
        check ((status is null) = (body is null))
);

comment on table idempotency is 'Answers to requests that named an Idempotency-Key, for a day.';
comment on column idempotency.caller is 'Who asked: keys of one caller mean nothing to another.';
comment on column idempotency.fingerprint is 'Hash of method, address and body: the same key with another request is a mistake.';

-- Finds what is a day old, to delete it.
create index idempotency_age on idempotency (created_at);
