-- A delivery belongs to the owner that its hook had when the event happened, whoever has the hook or its id later. It
-- also knows how much of its schedule's time is over, which the number of its attempts does not say: an endpoint may ask
-- to be called again, and that is no step of the schedule.

alter table delivery
    add column owner text,
    add column everyones boolean not null default false,
    add column waited_ms bigint
        constraint time_is_not_given_back
        check (waited_ms >= 0),
    add constraint what_is_everyones_has_no_owner
        check (owner is null or not everyones);

alter table attempt
    add column owner text,
    add column everyones boolean not null default false,
    add column method text,
    add constraint what_is_everyones_has_no_owner
        check (owner is null or not everyones);

comment on column delivery.owner is 'Whose it is: the owner of its hook when the event happened. Null: everyone''s, or noted by nobody.';
comment on column delivery.everyones is 'Its hook heard the events of everyone.';
comment on column delivery.waited_ms is 'How much of its schedule''s time is over; null: as much as its attempts say.';
comment on column attempt.owner is 'Whose the delivery is, as in delivery.';
comment on column attempt.method is 'The method of the request; null: noted by nobody.';
comment on column attempt.everyones is 'Its hook heard the events of everyone.';

-- A hook that rowhook itself has switched off goes on hearing. What it hears is kept until it is switched on again.
alter table off_hook
    add column keeps boolean not null default false;

comment on column off_hook.keeps is 'rowhook has switched it off, so what it hears is kept for it.';
