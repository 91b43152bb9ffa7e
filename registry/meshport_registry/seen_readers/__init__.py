"""Who is seen to read the ports of the mesh, or to ask for them, and what the registry answers about it."""
