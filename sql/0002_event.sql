-- The events that a hook may name. This is a copy of [events] in hooks.toml, so that a hook with a mistyped event is
-- refused when it is inserted, whoever inserts it. rowhook itself reads the file, not this table.

create table event (
    name text primary key,
    source text not null,
    all_owners boolean not null
);

comment on table event is 'The events that a hook may name; setup copies them from hooks.toml.';
comment on column event.source is 'The right side in [events]: table.action or custom; rowhook for the events it fires itself.';
comment on column event.all_owners is 'Written with a +: hooks of every owner hear it.';

insert into event (name, source, all_owners)
values
    ('hook.disabled', 'rowhook', false),
    ('rowhook.gap', 'rowhook', true);
