# Prints a Django application's models and what django-rest-hooks is told of them, as one line of JSON.
# `rowhook init --from-django PROJECT` runs this with PROJECT's `manage.py shell`.
import json

from django.apps import apps
from django.conf import settings


def owner_of(model):
    """The column with the row's user, or the path to it through the tables of parent models."""
    try:
        field = model._meta.get_field("user")
    except Exception:
        return None
    if not getattr(field, "column", None):
        return None
    path, model = "", model._meta.concrete_model
    while field.model._meta.concrete_model is not model:
        link = model._meta.get_ancestor_link(field.model)
        model = link.remote_field.model._meta.concrete_model
        path += "%s -> %s." % (link.column, model._meta.db_table)
    return path + field.column


def is_user(model):
    try:
        from django.contrib.auth.models import User
    except Exception:
        return False
    return issubclass(model, User)


def lists_of(model):
    """Many-to-many fields that the serializer writes: those whose table Django has made itself."""
    return [
        {
            "name": field.name,
            "table": field.remote_field.through._meta.db_table,
            "own": field.m2m_column_name(),
            "other": field.m2m_reverse_name(),
        }
        for field in model._meta.local_many_to_many
        if field.serialize and field.remote_field.through._meta.auto_created
    ]


def described(model):
    meta = model._meta
    own = lambda other: other._meta.concrete_model is model
    return {
        "label": meta.app_label + "." + meta.object_name,
        "table": meta.db_table,
        "key": meta.pk.column if getattr(meta.pk, "column", None) else None,
        "fields": [
            {"name": field.name, "column": field.column, "key": field.primary_key}
            for field in meta.local_fields
            if field.column and (field.serialize or field.primary_key)
        ],
        "lists": lists_of(model),
        "owner": owner_of(model),
        "has_user": hasattr(model, "user"),
        "is_user": is_user(model),
        "own_serializer": callable(getattr(model, "serialize_hook", None)),
        "proxies": [m._meta.object_name for m in apps.get_models() if own(m) and m is not model],
        "children": [m._meta.label for m in apps.get_models() if model in m._meta.parents and not own(m)],
    }


def hook_model():
    name = getattr(settings, "HOOK_CUSTOM_MODEL", None)
    try:
        model = apps.get_model(name or "rest_hooks.Hook")
    except (LookupError, ValueError):
        return None
    meta = model._meta
    return {
        "table": meta.db_table,
        "key": meta.pk.column,
        "columns": {field.name: field.column for field in meta.fields},
    }


print(
    "\nrowhook-models: "
    + json.dumps(
        {
            "hook_events": getattr(settings, "HOOK_EVENTS", None),
            "serializer": getattr(settings, "HOOK_SERIALIZER", None),
            "use_tz": bool(settings.USE_TZ),
            "hooks": hook_model(),
            "models": [described(model) for model in apps.get_models() if not model._meta.proxy],
        }
    )
)
