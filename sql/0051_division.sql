-- Rows that move between partitions are told as one update, also where the table is dropped before the stream is read.
alter table followed add column division jsonb;

comment on column followed.division is 'How the table is divided into partitions, if it is: what decides the partition of a row.';
