-- Takes an owner ($1) who is noted as forgotten out of some of the acts that they can be known by.
update audit
set owner = case when owner = $1 then forgotten_name(owner) else owner end,
    actor_owner = case when actor_owner = $1 then forgotten_name(actor_owner) else actor_owner end,
    token = case when actor_owner = $1 then null else token end,
    address = case when actor_owner = $1 then null else address end,
    before = null,
    after = null
where id = any(array(
    select id
    from audit
    where owner = $1
        or actor_owner = $1
        or before ->> 'owner' = $1
        or after ->> 'owner' = $1
    limit $2
))
