"""The search of the catalog: an index in memory that follows the database, with typos forgiven.

`words` makes words of texts, `index` finds entries by words, `entry` reads the entry of a product from its rows, `live` keeps the
index as the database is, and `api` is the route.
"""
