from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.delivery_page import DeliveryPage
from ...models.delivery_state import DeliveryState
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    id: str,
    *,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state.value

    params["state"] = json_state

    params["event"] = event

    params["since"] = since

    params["until"] = until

    params["table"] = table

    params["key"] = key

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/hooks/{id}/deliveries".format(
            id=quote(str(id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> DeliveryPage | Problem:
    if response.status_code == 200:
        response_200 = DeliveryPage.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[DeliveryPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    id: str,
    *,
    client: AuthenticatedClient | Client,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[DeliveryPage | Problem]:
    """List the deliveries of a hook, newest first.

     Needs the role read of operators, or the scope read of owners.

    Args:
        id (str):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeliveryPage | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        state=state,
        event=event,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    id: str,
    *,
    client: AuthenticatedClient | Client,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> DeliveryPage | Problem | None:
    """List the deliveries of a hook, newest first.

     Needs the role read of operators, or the scope read of owners.

    Args:
        id (str):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeliveryPage | Problem
    """

    return sync_detailed(
        id=id,
        client=client,
        state=state,
        event=event,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    id: str,
    *,
    client: AuthenticatedClient | Client,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[DeliveryPage | Problem]:
    """List the deliveries of a hook, newest first.

     Needs the role read of operators, or the scope read of owners.

    Args:
        id (str):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[DeliveryPage | Problem]
    """

    kwargs = _get_kwargs(
        id=id,
        state=state,
        event=event,
        since=since,
        until=until,
        table=table,
        key=key,
        cursor=cursor,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    id: str,
    *,
    client: AuthenticatedClient | Client,
    state: DeliveryState | Unset = UNSET,
    event: str | Unset = UNSET,
    since: str | Unset = UNSET,
    until: str | Unset = UNSET,
    table: str | Unset = UNSET,
    key: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> DeliveryPage | Problem | None:
    """List the deliveries of a hook, newest first.

     Needs the role read of operators, or the scope read of owners.

    Args:
        id (str):
        state (DeliveryState | Unset): What has become of a delivery.
        event (str | Unset):
        since (str | Unset):
        until (str | Unset):
        table (str | Unset):
        key (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        DeliveryPage | Problem
    """

    return (
        await asyncio_detailed(
            id=id,
            client=client,
            state=state,
            event=event,
            since=since,
            until=until,
            table=table,
            key=key,
            cursor=cursor,
            limit=limit,
        )
    ).parsed
