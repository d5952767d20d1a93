from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.delivery_counts import DeliveryCounts
    from ..models.held_status import HeldStatus
    from ..models.hook_counts import HookCounts
    from ..models.slot_status import SlotStatus


T = TypeVar("T", bound="Status")


@_attrs_define
class Status:
    """The status of rowhook.

    Attributes:
        deliveries (DeliveryCounts): How many deliveries the table holds.
        held (HeldStatus | None):
        hooks (HookCounts): How many hooks there are, by state.
        noted_at (None | str): When it was last noted up to where everything is settled.
        slot (None | SlotStatus):
        version (str): The version of the rowhook that answers.
    """

    deliveries: DeliveryCounts
    held: HeldStatus | None
    hooks: HookCounts
    noted_at: None | str
    slot: None | SlotStatus
    version: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.held_status import HeldStatus
        from ..models.slot_status import SlotStatus

        deliveries = self.deliveries.to_dict()

        held: dict[str, Any] | None
        if isinstance(self.held, HeldStatus):
            held = self.held.to_dict()
        else:
            held = self.held

        hooks = self.hooks.to_dict()

        noted_at: None | str
        noted_at = self.noted_at

        slot: dict[str, Any] | None
        if isinstance(self.slot, SlotStatus):
            slot = self.slot.to_dict()
        else:
            slot = self.slot

        version = self.version

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "deliveries": deliveries,
                "held": held,
                "hooks": hooks,
                "noted_at": noted_at,
                "slot": slot,
                "version": version,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.delivery_counts import DeliveryCounts
        from ..models.held_status import HeldStatus
        from ..models.hook_counts import HookCounts
        from ..models.slot_status import SlotStatus

        d = dict(src_dict)
        deliveries = DeliveryCounts.from_dict(d.pop("deliveries"))

        def _parse_held(data: object) -> HeldStatus | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                held_type_0 = HeldStatus.from_dict(data)

                return held_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(HeldStatus | None, data)

        held = _parse_held(d.pop("held"))

        hooks = HookCounts.from_dict(d.pop("hooks"))

        def _parse_noted_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        noted_at = _parse_noted_at(d.pop("noted_at"))

        def _parse_slot(data: object) -> None | SlotStatus:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                slot_type_0 = SlotStatus.from_dict(data)

                return slot_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SlotStatus, data)

        slot = _parse_slot(d.pop("slot"))

        version = d.pop("version")

        status = cls(
            deliveries=deliveries,
            held=held,
            hooks=hooks,
            noted_at=noted_at,
            slot=slot,
            version=version,
        )

        status.additional_properties = d
        return status

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
