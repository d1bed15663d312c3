"""Model providers: the contract they fulfil, the hook that they register by, and the built-in ones.

This room imports `audio` and nothing else of the project.
"""
