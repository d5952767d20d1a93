-- Terminates the WAL sender that holds the slot $1, if its application_name is $2.
select pg_terminate_backend(slot.active_pid)
from pg_replication_slots as slot
join pg_stat_replication as walsender on walsender.pid = slot.active_pid
where slot.slot_name = $1
    and slot.database = current_database()
    and walsender.application_name = $2
