from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.hook_page import HookPage
from ...models.list_hooks_state import ListHooksState
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    event: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    state: ListHooksState | Unset = UNSET,
    id: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["event"] = event

    params["owner"] = owner

    json_state: str | Unset = UNSET
    if not isinstance(state, Unset):
        json_state = state.value

    params["state"] = json_state

    params["id"] = id

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/hooks",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> HookPage | Problem:
    if response.status_code == 200:
        response_200 = HookPage.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[HookPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    event: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    state: ListHooksState | Unset = UNSET,
    id: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[HookPage | Problem]:
    """List hooks.

     Needs the role read of operators, or the scope read of owners.

    Args:
        event (str | Unset):
        owner (str | Unset):
        state (ListHooksState | Unset): The state of a hook, in a word.
        id (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[HookPage | Problem]
    """

    kwargs = _get_kwargs(
        event=event,
        owner=owner,
        state=state,
        id=id,
        cursor=cursor,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    event: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    state: ListHooksState | Unset = UNSET,
    id: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> HookPage | Problem | None:
    """List hooks.

     Needs the role read of operators, or the scope read of owners.

    Args:
        event (str | Unset):
        owner (str | Unset):
        state (ListHooksState | Unset): The state of a hook, in a word.
        id (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        HookPage | Problem
    """

    return sync_detailed(
        client=client,
        event=event,
        owner=owner,
        state=state,
        id=id,
        cursor=cursor,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    event: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    state: ListHooksState | Unset = UNSET,
    id: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[HookPage | Problem]:
    """List hooks.

     Needs the role read of operators, or the scope read of owners.

    Args:
        event (str | Unset):
        owner (str | Unset):
        state (ListHooksState | Unset): The state of a hook, in a word.
        id (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[HookPage | Problem]
    """

    kwargs = _get_kwargs(
        event=event,
        owner=owner,
        state=state,
        id=id,
        cursor=cursor,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    event: str | Unset = UNSET,
    owner: str | Unset = UNSET,
    state: ListHooksState | Unset = UNSET,
    id: str | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> HookPage | Problem | None:
    """List hooks.

     Needs the role read of operators, or the scope read of owners.

    Args:
        event (str | Unset):
        owner (str | Unset):
        state (ListHooksState | Unset): The state of a hook, in a word.
        id (str | Unset):
        cursor (str | Unset):
        limit (int | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        HookPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            event=event,
            owner=owner,
            state=state,
            id=id,
            cursor=cursor,
            limit=limit,
        )
    ).parsed
