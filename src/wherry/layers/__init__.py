"""Layers: tar streams in, directories or images over the tars out, and back.

``compression`` turns a blob into tar bytes, ``source`` reads those in a helper thread and takes their digest,
``tar`` finds the entries, ``apply`` writes them below a directory descriptor.  ``fixup`` sets right what a layer
unpacked without its parents cannot know.  ``diff`` writes a directory as a layer.  ``erofs_layer`` keeps a tar as it is
and indexes it, ``erofs_tree`` puts layers on each other, ``erofs_image`` writes what the kernel mounts.
"""
