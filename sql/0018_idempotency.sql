-- Requests that made or changed something and named a key: when one comes again, it gets the same answer and nothing is done
-- twice. Kept for a day. An answer that has not come yet has no status; after a minute it is taken for lost.

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

-- For forgetting what is a day old.
create index idempotency_age on idempotency (created_at);
