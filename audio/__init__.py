"""Sound: PCM values, WAV and G.711, resampling, voice activity, quality and cleaning.

The model-free modules (`pcm`, `wav`, `g711`, `resample`) import without onnxruntime, so that GPU images stay small.
This room imports nothing of the project.
"""
