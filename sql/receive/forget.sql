-- Forgets ids that are old enough, but none of what is still in the queue.
delete from seen
where at < ?1
    and id not in (select received.id from received)
