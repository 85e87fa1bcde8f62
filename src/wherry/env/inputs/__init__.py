"""What a project's files ask for: one reader for each kind, and `project`, which finds the file that counts."""
