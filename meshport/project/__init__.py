"""A mesh project on disk, and what is done with it: scaffold, check, apply, recount."""
