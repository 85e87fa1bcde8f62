"""Python environments as images: what a project asks for, its lock, and the layers that the packages become."""
