"""What runs on a GPU: the slot engine, the models on it, their codecs and the server around them.

The first engine, Orpheus, is the next thing to move in. This room imports `audio` and nothing else of the project.
"""
