"""What survives: blobs in an OCI layout, rows in SQLite, locks, and the sweeping of what nothing needs any more.

`layout` says where everything is.  `db` opens the database; `images`, `layers`, `containers` and `volumes` are its
tables, as functions that take the open `db.Database`.  `content` keeps blobs, `index` shows them to other tools,
`locks` lets processes take turns, `gc` finds what no row reaches.
"""
