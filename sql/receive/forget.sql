-- Deletes the ids that have expired, except those of requests that are still in the queue.
delete from seen
where at < ?1
    and id not in (select received.id from received)
