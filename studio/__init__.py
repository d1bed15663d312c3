"""What the product does, knowing no HTTP, GraphQL or Twilio.

Tables and the repositories over them, durable workflows that clone a voice and speak text, change notifications, audio
blobs. `ports.py` names what it needs from outside; `studio.Studio` holds everything wired together.
"""
