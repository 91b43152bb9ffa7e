-- The database of the reference mesh's service of artist relations, beside that of the registries.
CREATE DATABASE artists;
