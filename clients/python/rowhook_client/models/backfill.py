from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Backfill")


@_attrs_define
class Backfill:
    """A backfill, and how far it has come.

    Attributes:
        created_at (str): When it began.
        error (None | str): Why it failed.
        estimate (int | None): About how many rows the table had when it began.
        event (str): The event that the rows are sent as.
        hook (str): The hook that gets them.
        id (int): Its number.
        rate (int): The most rows to send a second.
        sent (int): How many rows have been written into the stream.
        since (None | str): Only rows committed since this time are sent.
        state (str): `running`, `done`, `cancelled` or `failed`.
        updated_at (str): When it last made progress.
        where (None | str): Only rows for which this SQL is true are sent.
    """

    created_at: str
    error: None | str
    estimate: int | None
    event: str
    hook: str
    id: int
    rate: int
    sent: int
    since: None | str
    state: str
    updated_at: str
    where: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at

        error: None | str
        error = self.error

        estimate: int | None
        estimate = self.estimate

        event = self.event

        hook = self.hook

        id = self.id

        rate = self.rate

        sent = self.sent

        since: None | str
        since = self.since

        state = self.state

        updated_at = self.updated_at

        where: None | str
        where = self.where

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "error": error,
                "estimate": estimate,
                "event": event,
                "hook": hook,
                "id": id,
                "rate": rate,
                "sent": sent,
                "since": since,
                "state": state,
                "updated_at": updated_at,
                "where": where,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        created_at = d.pop("created_at")

        def _parse_error(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        error = _parse_error(d.pop("error"))

        def _parse_estimate(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        estimate = _parse_estimate(d.pop("estimate"))

        event = d.pop("event")

        hook = d.pop("hook")

        id = d.pop("id")

        rate = d.pop("rate")

        sent = d.pop("sent")

        def _parse_since(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        since = _parse_since(d.pop("since"))

        state = d.pop("state")

        updated_at = d.pop("updated_at")

        def _parse_where(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        where = _parse_where(d.pop("where"))

        backfill = cls(
            created_at=created_at,
            error=error,
            estimate=estimate,
            event=event,
            hook=hook,
            id=id,
            rate=rate,
            sent=sent,
            since=since,
            state=state,
            updated_at=updated_at,
            where=where,
        )

        backfill.additional_properties = d
        return backfill

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
