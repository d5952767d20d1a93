-- Owners who were forgotten, and when. What rowhook still has in memory of their deliveries from before that is not
-- written any more, neither as parked nor as history. Only a hash of the owner is kept.
create table forgotten (
    owner bigint primary key,
    at timestamptz not null
);

comment on table forgotten is 'Owners who were forgotten, as hashes, for a month.';
comment on column forgotten.owner is 'hashtextextended of the owner.';
comment on column forgotten.at is 'What was committed until then is not written any more.';
