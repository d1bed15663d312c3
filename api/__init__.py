"""The front: GraphQL over HTTP, WebSocket and SSE, sign-in, signed audio links, health, the playground.

`app.py` is the one place where everything is wired together; `schema/` has one module per domain.
"""
