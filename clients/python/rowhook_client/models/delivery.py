from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.delivery_state import DeliveryState
from ..models.waits_for import WaitsFor

T = TypeVar("T", bound="Delivery")


@_attrs_define
class Delivery:
    """One event on its way to one hook.

    Attributes:
        at (str): When it was parked or delivered.
        attempts (int): How many requests have been made for it.
        commit_time (None | str): When the event was committed, if that is known.
        event (str): The event's name.
        hook (str): The hook's id.
        id (str): The `webhook-id`.
        in_flight (bool): Whether a request is being made.
        next_attempt (None | str): When the next request is due; null if it waits behind another delivery of its lane,
            or no request will be made.
        owner (None | str): Whose it is: the owner that the hook had then. Null for a hook that heard the events of
            everyone.
        position (None | str): The position of the event in the stream, if that is known: commit LSN and index in the
            transaction.
        reason (None | str): How the last attempt failed, or why the delivery was given up.
        state (DeliveryState): What has become of a delivery.
        waits_for (None | WaitsFor):
        why (str): Why it waits and when it goes, or what became of it, in one sentence for people.
    """

    at: str
    attempts: int
    commit_time: None | str
    event: str
    hook: str
    id: str
    in_flight: bool
    next_attempt: None | str
    owner: None | str
    position: None | str
    reason: None | str
    state: DeliveryState
    waits_for: None | WaitsFor
    why: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        at = self.at

        attempts = self.attempts

        commit_time: None | str
        commit_time = self.commit_time

        event = self.event

        hook = self.hook

        id = self.id

        in_flight = self.in_flight

        next_attempt: None | str
        next_attempt = self.next_attempt

        owner: None | str
        owner = self.owner

        position: None | str
        position = self.position

        reason: None | str
        reason = self.reason

        state = self.state.value

        waits_for: None | str
        if isinstance(self.waits_for, WaitsFor):
            waits_for = self.waits_for.value
        else:
            waits_for = self.waits_for

        why = self.why

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "at": at,
                "attempts": attempts,
                "commit_time": commit_time,
                "event": event,
                "hook": hook,
                "id": id,
                "in_flight": in_flight,
                "next_attempt": next_attempt,
                "owner": owner,
                "position": position,
                "reason": reason,
                "state": state,
                "waits_for": waits_for,
                "why": why,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        at = d.pop("at")

        attempts = d.pop("attempts")

        def _parse_commit_time(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        commit_time = _parse_commit_time(d.pop("commit_time"))

        event = d.pop("event")

        hook = d.pop("hook")

        id = d.pop("id")

        in_flight = d.pop("in_flight")

        def _parse_next_attempt(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        next_attempt = _parse_next_attempt(d.pop("next_attempt"))

        def _parse_owner(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        owner = _parse_owner(d.pop("owner"))

        def _parse_position(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        position = _parse_position(d.pop("position"))

        def _parse_reason(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reason = _parse_reason(d.pop("reason"))

        state = DeliveryState(d.pop("state"))

        def _parse_waits_for(data: object) -> None | WaitsFor:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                waits_for_type_0 = WaitsFor(data)

                return waits_for_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | WaitsFor, data)

        waits_for = _parse_waits_for(d.pop("waits_for"))

        why = d.pop("why")

        delivery = cls(
            at=at,
            attempts=attempts,
            commit_time=commit_time,
            event=event,
            hook=hook,
            id=id,
            in_flight=in_flight,
            next_attempt=next_attempt,
            owner=owner,
            position=position,
            reason=reason,
            state=state,
            waits_for=waits_for,
            why=why,
        )

        delivery.additional_properties = d
        return delivery

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
