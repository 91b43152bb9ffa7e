"""Files that run in the environment of another revision: they use what both revisions have, and nothing else of this one."""
