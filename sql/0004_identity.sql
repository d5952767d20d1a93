-- What `identity = "full"` replaced: the replica identity that a table had before, so that teardown can restore it.

create table identity (
    relation regclass primary key,
    previous "char" not null
        constraint previous_is_a_relreplident
        check (previous in ('d', 'n', 'i')),
    index_name text
        constraint only_an_index_has_a_name
        check ((previous = 'i') = (index_name is not null))
);

comment on table identity is 'The replica identity that a table had before setup made it full.';
comment on column identity.relation is 'The table; kept as regclass, which follows renames and survives a dump.';
comment on column identity.previous is 'As in pg_class.relreplident: d default, n nothing, i index.';
comment on column identity.index_name is 'The index, where that was the identity.';
