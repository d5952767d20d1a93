from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Forgotten")


@_attrs_define
class Forgotten:
    """What was deleted of an owner or a row, and what is not rowhook's to delete.

    Attributes:
        acts (int): Acts on record that they cannot be known by any more: a hash stands for them, and what was changed
            is left out.
        answers (int): Answers that were kept for requests with an Idempotency-Key.
        attempts (int): Attempts in the history.
        backfills (int): Backfills of their hooks.
        deliveries (int): Deliveries to them, parked and dead, with their bodies.
        hooks (int): Their hooks in rowhook's own table.
        left (list[str]): What is not rowhook's to delete, and where to do that.
        left_out (int): Deliveries to others, parked and dead, or deliveries of the row, of which the key of the row is
            left.
        notes (int): Notes of their hooks: that they fail, cannot be used, or are switched off.
        tokens (int): Tokens for the API and the page, and links to the portal with the sessions that they opened.
    """

    acts: int
    answers: int
    attempts: int
    backfills: int
    deliveries: int
    hooks: int
    left: list[str]
    left_out: int
    notes: int
    tokens: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        acts = self.acts

        answers = self.answers

        attempts = self.attempts

        backfills = self.backfills

        deliveries = self.deliveries

        hooks = self.hooks

        left = self.left

        left_out = self.left_out

        notes = self.notes

        tokens = self.tokens

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "acts": acts,
                "answers": answers,
                "attempts": attempts,
                "backfills": backfills,
                "deliveries": deliveries,
                "hooks": hooks,
                "left": left,
                "left_out": left_out,
                "notes": notes,
                "tokens": tokens,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        acts = d.pop("acts")

        answers = d.pop("answers")

        attempts = d.pop("attempts")

        backfills = d.pop("backfills")

        deliveries = d.pop("deliveries")

        hooks = d.pop("hooks")

        left = cast(list[str], d.pop("left"))

        left_out = d.pop("left_out")

        notes = d.pop("notes")

        tokens = d.pop("tokens")

        forgotten = cls(
            acts=acts,
            answers=answers,
            attempts=attempts,
            backfills=backfills,
            deliveries=deliveries,
            hooks=hooks,
            left=left,
            left_out=left_out,
            notes=notes,
            tokens=tokens,
        )

        forgotten.additional_properties = d
        return forgotten

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
