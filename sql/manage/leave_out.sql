-- Replaces bodies ($2) and questions ($3) of deliveries ($1) whose row was forgotten. A reason that is more than a status
-- may repeat a value of the row, and goes too. So do answers of the API about these deliveries.
with answered as (
    delete from idempotency
    where exists (
        select
        from unnest($1::text[]) as forgotten (id)
        where position(convert_to(forgotten.id, 'UTF8') in idempotency.body) > 0
    )
)

update delivery
set
    body = made.body,
    question = made.question::jsonb,
    about = '{}',
    outline = null,
    reason = case
        when delivery.reason ~ '^(the last of [0-9]+ attempts failed: )?[0-9]{3}$' then delivery.reason
        when delivery.state = 'dead' then 'its row was forgotten'
    end
from unnest($1::text[], $2::bytea[], $3::text[]) as made (id, body, question)
where delivery.id = made.id
