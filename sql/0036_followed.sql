-- The stream calls a table by the name that it had when its row was written. Which table of hooks.toml that is, where
-- it was renamed and is dropped by now, or another one has its name, only a rowhook that saw it before can say. It is
-- noted here for the next start.
create table followed (
    slot text not null,
    oid oid not null,
    schema text not null,
    name text not null,
    keys jsonb not null,
    is_former boolean not null,
    later_schema text,
    later_name text,
    taken_by bigint,
    until pg_lsn,
    relation oid not null,
    primary key (slot, oid),
    constraint a_later_name_is_whole
        check (num_nulls(later_schema, later_name) in (0, 2)),
    constraint only_a_former_table_has_an_end
        check (is_former = (until is not null))
);

comment on table followed is 'Which tables the names of hooks.toml stand for.';
comment on column followed.schema is 'The schema that hooks.toml names.';
comment on column followed.name is 'The name of the table in hooks.toml, whatever it is called in the database.';
comment on column followed.keys is 'The names that the columns of its primary key have had, the newest last.';
comment on column followed.is_former is 'Another table has the name since.';
comment on column followed.later_name is 'What a former table was called when another one was found under its name.';
comment on column followed.taken_by is 'The transaction that gave the other table the name.';
comment on column followed.until is 'Once this position is confirmed, the stream has nothing more to tell of a former table.';
comment on column followed.relation is 'The oid of this table. In a copy of the database, the oids mean nothing.';
