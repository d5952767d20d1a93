"""Models with a field of each type that Django has a column for."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import (
    ArrayField,
    BigIntegerRangeField,
    DateRangeField,
    DateTimeRangeField,
    DecimalRangeField,
    HStoreField,
    IntegerRangeField,
)
from django.db import models
from rest_hooks.models import AbstractHook


class Author(models.Model):
    name = models.CharField(max_length=100)


class Tag(models.Model):
    name = models.CharField(max_length=100)


class Thing(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE)
    yes = models.BooleanField(default=False)
    maybe = models.BooleanField(null=True)
    small = models.SmallIntegerField(default=0)
    number = models.IntegerField(null=True)
    big = models.BigIntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    tiny = models.DecimalField(max_digits=12, decimal_places=10, null=True)
    ratio = models.FloatField(null=True)
    title = models.CharField(max_length=100, default="")
    text = models.TextField(default="")
    slug = models.SlugField(default="")
    link = models.URLField(default="")
    mail = models.EmailField(default="")
    file = models.FileField(default="")
    day = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    clock = models.TimeField(null=True)
    span = models.DurationField(null=True)
    token = models.UUIDField(default=uuid.uuid4)
    address = models.GenericIPAddressField(null=True)
    blob = models.BinaryField(null=True)
    extra = models.JSONField(null=True)
    numbers = ArrayField(models.IntegerField(null=True), null=True)
    words = ArrayField(models.TextField(), null=True)
    grid = ArrayField(ArrayField(models.IntegerField()), null=True)
    prices = ArrayField(models.DecimalField(max_digits=8, decimal_places=2), null=True)
    flags = ArrayField(models.BooleanField(), null=True)
    ratios = ArrayField(models.FloatField(), null=True)
    days = ArrayField(models.DateField(), null=True)
    moments = ArrayField(models.DateTimeField(), null=True)
    clocks = ArrayField(models.TimeField(), null=True)
    spans = ArrayField(models.DurationField(), null=True)
    tokens = ArrayField(models.UUIDField(), null=True)
    pairs = HStoreField(null=True)
    # Not a foreign key, and so not to lose its end.
    legacy_id = models.IntegerField(null=True)


class Book(models.Model):
    """With what it points to, and a list that a row cannot know."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    author = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL)
    first = models.OneToOneField("self", null=True, on_delete=models.SET_NULL)
    written_by = models.ForeignKey(
        Author, null=True, on_delete=models.SET_NULL, db_column="writer", related_name="+"
    )
    tags = models.ManyToManyField(Tag)


class Ticket(models.Model):
    """With a key of its own, and a table of another name."""

    code = models.UUIDField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    ofthing = models.ForeignKey(Thing, null=True, on_delete=models.CASCADE)
    follows = models.ForeignKey("self", null=True, on_delete=models.CASCADE)

    class Meta:
        db_table = "admission"


class ShortTicket(Ticket):
    """A proxy: the same rows under another name."""

    class Meta:
        proxy = True


class Work(models.Model):
    """A parent of models that have tables of their own."""

    name = models.CharField(max_length=50)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    year = models.IntegerField(default=0)


class Novel(Work):
    """Its table has a key to that of its parent, and only its own fields."""

    sequel_to = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="sequels")
    pages = models.PositiveIntegerField(default=0)


class Everything(models.Model):
    """The fields that Thing has not."""

    class Grade(models.IntegerChoices):
        GOOD = 1
        BAD = 2

    id = models.SmallAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    # In the database it is a plain number.
    loose = models.ForeignKey(Author, null=True, on_delete=models.DO_NOTHING, db_constraint=False)
    ticket = models.OneToOneField(Ticket, null=True, on_delete=models.CASCADE)
    grade = models.IntegerField(choices=Grade.choices, default=Grade.GOOD)
    short = models.PositiveSmallIntegerField(null=True)
    long = models.PositiveBigIntegerField(null=True)
    other = models.IntegerField(null=True, db_column="Its Other-Name")
    picture = models.ImageField(default="")
    path = models.FilePathField(default="")
    host = models.GenericIPAddressField(null=True, unpack_ipv4=True)
    words = models.JSONField(default=list)
    ints = IntegerRangeField(null=True)
    longs = BigIntegerRangeField(null=True)
    prices = DecimalRangeField(null=True)
    days = DateRangeField(null=True)
    times = DateTimeRangeField(null=True)
    ranges = ArrayField(models.SmallIntegerField(choices=Grade.choices), null=True)
    nested = ArrayField(models.JSONField(), null=True)
    maps = ArrayField(HStoreField(), null=True)
    ratio = models.FloatField(null=True)
    precise = models.DecimalField(max_digits=40, decimal_places=0, null=True)
    made = models.DateTimeField(auto_now_add=True)
    readers = models.ManyToManyField(Tag, related_name="read")


class CustomHook(AbstractHook):
    """HOOK_CUSTOM_MODEL."""

    is_active = models.BooleanField(default=True)
