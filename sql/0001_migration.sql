-- The files of this folder that have been applied here. There is no way back: a change comes in a new file, and the
-- statements of a released one are never edited.
--
-- Each file runs once, in one transaction, with rowhook's schema as its search_path. Bodies of functions name the schema
-- as {schema}, which is filled in: they run later, with a search_path of their own.

create table migration (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

comment on table migration is 'Which of rowhook''s files in sql/ have been applied.';
