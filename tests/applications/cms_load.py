"""A day on the site, by Wagtail's own fixture and commands, and as its editors work with pages."""

import datetime as dt

from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone
from wagtail.contrib.redirects.models import Redirect
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.models import Collection, Page
from wagtail.test.demosite.models import BlogEntryPage, BlogIndexPage, EventPage, StandardPage


def load():
    # What the migrations made stands in the way of the demonstration.
    Page.objects.filter(depth__gt=1).delete()
    call_command("loaddata", "demosite", verbosity=0)
    call_command("rebuild_references_index", verbosity=0)
    call_command("wagtail_update_index", verbosity=0)
    editors = [User.objects.create_superuser(f"editor{n}", password="secret") for n in range(3)]
    blog = BlogIndexPage.objects.get()
    for n in range(12):
        page = BlogEntryPage(
            title=f"Eintrag {n} ✓", body="<p>é \\ \"</p>" * (1 if n % 4 else 2000), date=dt.date(2024, 2, 1 + n), owner=editors[n % 3]
        )
        blog.add_child(instance=page)
        page.tags.add("rot", f"nr-{n % 3}")
        page.save()
        page.title += "!"
        revision = page.save_revision(user=editors[0])
        if n % 3 == 0:
            revision.publish()
        elif n % 3 == 1:
            page.go_live_at = timezone.now() - dt.timedelta(hours=1)
            page.save_revision(approved_go_live_at=page.go_live_at)
        else:
            page.unpublish(user=editors[1])
    call_command("publish_scheduled", verbosity=0)
    entries = list(BlogEntryPage.objects.child_of(blog).order_by("id"))
    # Pages move by statements that change the paths of all below them.
    blog.copy(recursive=True, update_attrs={"slug": "zweites-blog", "title": "Zweites Blog"}, user=editors[0])
    entries[-1].move(Page.objects.get(pk=StandardPage.objects.first().pk), "last-child")
    entries[-2].slug = "anders"
    entries[-2].save_revision().publish()
    Redirect.objects.filter(automatically_created=True).update(is_permanent=False)
    root = Collection.get_first_root_node()
    shelf = root.add_child(name="Bilder")
    Image.objects.order_by("id").first().tags.add("blau")
    Image.objects.update(collection=shelf)
    for image in Image.objects.order_by("id")[:3]:
        image.title = image.title.upper()
        image.focal_point_x, image.focal_point_y = 10, 20
        image.save()
    Document.objects.order_by("id").first().delete()
    EventPage.objects.all().delete()
    entries[0].delete()
    editors[1].delete()
    call_command("purge_revisions", verbosity=0)
    call_command("fixtree", interactive=False, verbosity=0)
    call_command("rebuild_references_index", verbosity=0)
