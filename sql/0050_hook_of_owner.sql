-- Lists the hooks of an owner in the order of their ids, and counts them. Nobody may write to the table meanwhile,
-- which is a moment for the rows of most: where there are more, the index is made by hand, concurrently.
do $$
begin
    if (select count(*) from (select from hook limit 50001) as some_hooks) <= 50000 then
        create index hook_of_owner on hook (owner, id);
    end if;
end
$$;
