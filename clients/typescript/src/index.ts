// The client: the requests of openapi-fetch, with the types of the API.

import createFetchClient, { type Client, type ClientOptions } from "openapi-fetch";

import type { paths } from "./schema.js";

export type * from "./schema.js";

/** A client of the API of a rowhook. */
export type RowhookClient = Client<paths>;

/**
 * Opens a client of the rowhook at `url`, such as `https://hooks.example.com`, with the token of an owner or of an
 * operator. Where rowhook follows several databases, the URL ends with `/databases/NAME`.
 */
export function createClient(
  url: string,
  token: string,
  options: Omit<ClientOptions, "baseUrl" | "headers"> = {},
): RowhookClient {
  return createFetchClient<paths>({ ...options, baseUrl: url, headers: { authorization: `Bearer ${token}` } });
}
