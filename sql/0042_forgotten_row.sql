-- Rows that were forgotten, and owners of rows that were delivered to others: what a delivery is about, as numbers by
-- which it is found. What is parked of it is replaced by the key of the row, and what rowhook still has in memory of it
-- is written only so. A number is the hash of a table and a key, by which lanes know a row, or that of an owner.

create table forgotten_mark (
    mark bigint primary key,
    at timestamptz not null
);

comment on table forgotten_mark is 'Rows and owners of rows that were forgotten, as hashes, for a month.';
comment on column forgotten_mark.mark is 'The hash of a table and the key of a row, or of an owner.';
comment on column forgotten_mark.at is 'Of what was committed until then, only the key of the row is written.';

alter table delivery
    add column about bigint[],
    add column outline json;

alter table attempt
    add column about bigint[];

comment on column delivery.about is 'Hashes of its row, of its old key, and of the owner of the row; empty: it holds no row any more. Null: noted by nobody.';
comment on column delivery.outline is 'What its body is made anew from when the row is forgotten: the key of the row, and what is left out. Null: nothing of that is noted.';
comment on column attempt.about is 'As in delivery.';
