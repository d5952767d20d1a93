"""A day at the help desk, by django-helpdesk's own templates, commands and library."""

import datetime as dt

from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from helpdesk import models
from helpdesk.update_ticket import update_ticket


def load():
    call_command("loaddata", "emailtemplate", verbosity=0)
    staff = [User.objects.create_user(f"agent{n}", f"agent{n}@example.com", "secret", is_staff=True) for n in range(3)]
    queues = [
        models.Queue.objects.create(title=f"Schlange {n}", slug=f"q{n}", escalate_days=2, dedicated_time=dt.timedelta(hours=n))
        for n in range(3)
    ]
    call_command("create_queue_permissions")
    call_command("create_usersettings")
    field = models.CustomField.objects.create(name="ort", label="Ort", data_type="varchar", max_length=100)
    tickets = []
    for n in range(18):
        ticket = models.Ticket(
            title=f"Ärger {n}", queue=queues[n % 3], submitter_email=f"kunde{n}@example.com", description="Geht nicht.\n" * (1 if n % 4 else 600)
        )
        ticket.save()
        models.TicketCustomFieldValue.objects.create(ticket=ticket, field=field, value=f"Köln {n}")
        ticket.add_email_to_ticketcc_if_not_in(email=f"chef{n}@example.com")
        tickets.append(ticket)
    models.Ticket.objects.filter(id__in=[ticket.id for ticket in tickets[:6]]).update(created=timezone.now() - dt.timedelta(days=9))
    call_command("create_escalation_exclusions", days=["sunday"], occurrences=3)
    models.EscalationExclusion.objects.filter(date=timezone.now().date()).delete()
    call_command("escalate_tickets")
    for n, ticket in enumerate(tickets):
        update_ticket(
            staff[n % 3], ticket, comment=f"Antwort {n} <b>é</b>", title=f"Ärger {n}, neu", public=n % 2 == 0, owner=staff[n % 3].id,
            priority=n % 5 + 1, new_status=(models.Ticket.OPEN_STATUS, models.Ticket.RESOLVED_STATUS, models.Ticket.CLOSED_STATUS)[n % 3],
            time_spent=dt.timedelta(minutes=n),
        )
    template = models.ChecklistTemplate.objects.create(name="Umzug", task_list=["eins", {"zwei": [1.50, None]}, "é"])
    for ticket in tickets[:3]:
        checklist = ticket.checklists.create(name=template.name)
        for position, task in enumerate(template.task_list):
            checklist.tasks.create(description=str(task), position=position)
        checklist.tasks.filter(position=1).update(completion_date=timezone.now())
    models.TicketDependency.objects.create(ticket=tickets[0], depends_on=tickets[1])
    shelf = models.KBCategory.objects.create(name="Wissen", title="Wissen", slug="wissen", description="-")
    for n in range(4):
        item = models.KBItem.objects.create(category=shelf, title=f"Wie {n}?", question="?", answer="So.", order=n)
        item.voted_by.set(staff[: n % 3 + 1])
        item.votes += n
        item.save()
    models.SavedSearch.objects.create(title="Offen", user=staff[0], query="gAR9lC4=")
    # One goes, and with it its tickets, their history and their checklists.
    tickets[5].merged_to = tickets[4]
    tickets[5].save()
    queues[2].delete()
    shelf.delete()
    staff[2].delete()
    models.EmailTemplate.objects.exclude(locale="en").delete()
