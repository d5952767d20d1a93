from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.any_object import AnyObject
    from ..models.audit_actor import AuditActor


T = TypeVar("T", bound="AuditEntry")


@_attrs_define
class AuditEntry:
    """Something that was done, as it is on record.

    Attributes:
        after (AnyObject | None): What it became, without secrets.
        at (str): When it was done.
        before (AnyObject | None): What was different before, without secrets.
        by (AuditActor): Who has done something.
        delivery (None | str): The delivery that it was done to.
        event (None | str): The event that it is about.
        hook (None | str): The hook that it was done to.
        id (int): Its number. Those of later acts are higher.
        owner (None | str): The owner whose hook, delivery or token it was done to.
        what (str): What was done, such as `hook.changed`.
    """

    after: AnyObject | None
    at: str
    before: AnyObject | None
    by: AuditActor
    delivery: None | str
    event: None | str
    hook: None | str
    id: int
    owner: None | str
    what: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.any_object import AnyObject

        after: dict[str, Any] | None
        if isinstance(self.after, AnyObject):
            after = self.after.to_dict()
        else:
            after = self.after

        at = self.at

        before: dict[str, Any] | None
        if isinstance(self.before, AnyObject):
            before = self.before.to_dict()
        else:
            before = self.before

        by = self.by.to_dict()

        delivery: None | str
        delivery = self.delivery

        event: None | str
        event = self.event

        hook: None | str
        hook = self.hook

        id = self.id

        owner: None | str
        owner = self.owner

        what = self.what

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "after": after,
                "at": at,
                "before": before,
                "by": by,
                "delivery": delivery,
                "event": event,
                "hook": hook,
                "id": id,
                "owner": owner,
                "what": what,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.any_object import AnyObject
        from ..models.audit_actor import AuditActor

        d = dict(src_dict)

        def _parse_after(data: object) -> AnyObject | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                after_type_0 = AnyObject.from_dict(data)

                return after_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AnyObject | None, data)

        after = _parse_after(d.pop("after"))

        at = d.pop("at")

        def _parse_before(data: object) -> AnyObject | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                before_type_0 = AnyObject.from_dict(data)

                return before_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AnyObject | None, data)

        before = _parse_before(d.pop("before"))

        by = AuditActor.from_dict(d.pop("by"))

        def _parse_delivery(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        delivery = _parse_delivery(d.pop("delivery"))

        def _parse_event(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        event = _parse_event(d.pop("event"))

        def _parse_hook(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        hook = _parse_hook(d.pop("hook"))

        id = d.pop("id")

        def _parse_owner(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        owner = _parse_owner(d.pop("owner"))

        what = d.pop("what")

        audit_entry = cls(
            after=after,
            at=at,
            before=before,
            by=by,
            delivery=delivery,
            event=event,
            hook=hook,
            id=id,
            owner=owner,
            what=what,
        )

        audit_entry.additional_properties = d
        return audit_entry

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
