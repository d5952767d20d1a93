-- A delivery that is made due by hand is sent at once, be it a dead one that is parked again, or a parked one that is
-- to be tried earlier. `update delivery set state = 'parked' where id = ...` is all that it takes. `attempts = 0`
-- restarts its schedule.

create function call_courier() returns trigger
    language plpgsql
as $$
begin
    new.next_attempt := coalesce(new.next_attempt, clock_timestamp());
    perform pg_notify(
        tg_table_schema,
        json_build_object(
            'id', new.id,
            'hook', new.hook,
            'lane', new.lane,
            'other_lane', new.other_lane,
            'revived', old.state = 'dead'
        )::text
    );
    return new;
end
$$;

comment on function call_courier is 'Tells rowhook at once of a delivery that was made due by hand.';
revoke all on function call_courier from public;

-- What rowhook itself does is neither: it postpones what it has claimed, and sets a time where there was none.
create trigger delivery_is_due
    before update of state, next_attempt on delivery
    for each row
    when (
        new.state = 'parked'
        and (old.state = 'dead' or new.next_attempt < old.next_attempt and not old.claimed and not new.claimed)
    )
    execute function call_courier();
