-- Answers that are kept for repeated requests have no secrets any more: those are shown once. What was kept before this
-- gets null in their place, so that it stays an answer. A secret is found in the text of the bytes, since a database of
-- any encoding has that.

update idempotency
set body = decode(
    regexp_replace(
        encode(body, 'escape'),
        -- In this text, each backslash of the JSON is written twice, and other bytes as a backslash and their number.
        '"secret":"(?:[^"\\]|\\\\(?:\\\\|[^\\])|\\[0-7][0-7][0-7])*"',
        '"secret":null',
        'g'
    ),
    'escape'
)
where body is not null;

comment on column idempotency.body is 'The answer, without what is shown once.';
