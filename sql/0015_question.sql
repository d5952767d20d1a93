-- What has to be asked before a delivery may be sent: `visible` of its table in hooks.toml, with the values of the row that
-- the query names. A permission that was taken back since the row was committed is then respected.
alter table delivery
    add column question jsonb
        constraint question_is_an_object
        check (jsonb_typeof(question) = 'object');

comment on column delivery.question is 'Whether the hook''s owner may see the row, as visible in hooks.toml asks it; null: nothing is asked.';
