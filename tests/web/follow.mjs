// Subscribes by the reference clients of both protocols and prints each event as a line of JSON.
// Arguments: "ws" or "sse", the URL, an API token, a subscription, its variables as JSON.
import { createClient as createSocketClient } from "graphql-ws";
import { createClient as createSseClient } from "graphql-sse";
import WebSocket from "ws";

const [transport, url, token, query, variables] = process.argv.slice(2);
const authorization = `Bearer ${token}`;
const client =
  transport === "ws"
    ? createSocketClient({ url, webSocketImpl: WebSocket, connectionParams: { authorization }, retryAttempts: 0 })
    : createSseClient({ url, headers: { authorization }, retryAttempts: 0 });

for await (const event of client.iterate({ query, variables: JSON.parse(variables) })) {
  console.log(JSON.stringify(event));
}
await client.dispose();
