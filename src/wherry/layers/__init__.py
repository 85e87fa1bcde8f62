"""Layers: tar streams in, directories out, and back.

``compression`` turns a blob into tar bytes, ``source`` reads those in a helper thread and takes their digest,
``tar`` finds the entries, ``apply`` writes them below a directory descriptor.  ``fixup`` sets right what a layer
unpacked without its parents cannot know.  ``diff`` writes a directory as a layer.
"""
