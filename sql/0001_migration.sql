-- Which of these files have been applied here. They only go forward: what was applied is never edited.
--
-- Each file runs once, in one transaction, with rowhook's schema as its search_path.

create table migration (
    version integer primary key,
    name text not null,
    applied_at timestamptz not null default clock_timestamp()
);

comment on table migration is 'Which of rowhook''s files in sql/ have been applied.';
