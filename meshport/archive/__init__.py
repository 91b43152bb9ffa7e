"""Archives as readers need them: the Iceberg table of a port, and the archive and the topic read as one log.

    place          where an archive lies: a store for the files, a catalog for the table
    table          rows and offsets in one commit
    latest         the latest message of each key
    upkeep         few files for each day, none that no reader needs
    record         one record of the log, its digest, and the message that it was
    log_columns    the columns that are the log
    open_archives  the archives of the ports that a reader reads
    reader         the archive, then the topic

`meshport.archiving` fills the tables. pyiceberg and pyarrow, of the extra `meshport[archive]`, are imported when an archive is
opened.
"""
