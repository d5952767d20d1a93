from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.event_detail_payloads import EventDetailPayloads


T = TypeVar("T", bound="EventDetail")


@_attrs_define
class EventDetail:
    """An event with the bodies that are sent of it.

    Attributes:
        all_owners (bool): Whether hooks of all owners get it, and not only those of the row's owner.
        description (None | str): What it means, as hooks.toml says.
        name (str): Its name. Example: book.added.
        source (str): What it is made of: `table.action` for changes of rows, `custom` for messages, `rowhook` for its
            own events. Example: book.created.
        payloads (EventDetailPayloads): What hooks are sent, by the name of the payload format.
    """

    all_owners: bool
    description: None | str
    name: str
    source: str
    payloads: EventDetailPayloads
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        all_owners = self.all_owners

        description: None | str
        description = self.description

        name = self.name

        source = self.source

        payloads = self.payloads.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "all_owners": all_owners,
                "description": description,
                "name": name,
                "source": source,
                "payloads": payloads,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.event_detail_payloads import EventDetailPayloads

        d = dict(src_dict)
        all_owners = d.pop("all_owners")

        def _parse_description(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        description = _parse_description(d.pop("description"))

        name = d.pop("name")

        source = d.pop("source")

        payloads = EventDetailPayloads.from_dict(d.pop("payloads"))

        event_detail = cls(
            all_owners=all_owners,
            description=description,
            name=name,
            source=source,
            payloads=payloads,
        )

        event_detail.additional_properties = d
        return event_detail

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
