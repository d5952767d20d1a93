from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SlotStatus")


@_attrs_define
class SlotStatus:
    """The replication slot.

    Attributes:
        attached (bool): Whether a session reads from it.
        being_made (bool): Whether it is still being made. Changes are not heard before it is done.
        confirmed (None | str): The LSN up to which everything is settled.
        lag_bytes (int | None): Bytes of WAL after that.
        name (str): Its name.
        safe_wal_bytes (int | None): Bytes of WAL that may still be written before Postgres invalidates the slot; null
            if there is no limit.
        session (None | str): The application name of that session.
        waits_for (list[str]): The transactions that must end before it is done.
        wal_status (None | str): `reserved`, `extended`, `unreserved` or `lost`.
    """

    attached: bool
    being_made: bool
    confirmed: None | str
    lag_bytes: int | None
    name: str
    safe_wal_bytes: int | None
    session: None | str
    waits_for: list[str]
    wal_status: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        attached = self.attached

        being_made = self.being_made

        confirmed: None | str
        confirmed = self.confirmed

        lag_bytes: int | None
        lag_bytes = self.lag_bytes

        name = self.name

        safe_wal_bytes: int | None
        safe_wal_bytes = self.safe_wal_bytes

        session: None | str
        session = self.session

        waits_for = self.waits_for

        wal_status: None | str
        wal_status = self.wal_status

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "attached": attached,
                "being_made": being_made,
                "confirmed": confirmed,
                "lag_bytes": lag_bytes,
                "name": name,
                "safe_wal_bytes": safe_wal_bytes,
                "session": session,
                "waits_for": waits_for,
                "wal_status": wal_status,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        attached = d.pop("attached")

        being_made = d.pop("being_made")

        def _parse_confirmed(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        confirmed = _parse_confirmed(d.pop("confirmed"))

        def _parse_lag_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        lag_bytes = _parse_lag_bytes(d.pop("lag_bytes"))

        name = d.pop("name")

        def _parse_safe_wal_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        safe_wal_bytes = _parse_safe_wal_bytes(d.pop("safe_wal_bytes"))

        def _parse_session(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        session = _parse_session(d.pop("session"))

        waits_for = cast(list[str], d.pop("waits_for"))

        def _parse_wal_status(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        wal_status = _parse_wal_status(d.pop("wal_status"))

        slot_status = cls(
            attached=attached,
            being_made=being_made,
            confirmed=confirmed,
            lag_bytes=lag_bytes,
            name=name,
            safe_wal_bytes=safe_wal_bytes,
            session=session,
            waits_for=waits_for,
            wal_status=wal_status,
        )

        slot_status.additional_properties = d
        return slot_status

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
