-- What to ask before a delivery is sent: the query `visible` of its table in hooks.toml, with the values of the row
-- that the query refers to. So a permission that was revoked after the commit is respected.
alter table delivery
    add column question jsonb
        constraint question_is_an_object
        check (jsonb_typeof(question) = 'object');

comment on column delivery.question is 'Whether the hook''s owner may see the row, as visible in hooks.toml asks it; null: nothing is asked.';
