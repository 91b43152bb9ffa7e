"""Files of records: reading rows, mapping them to a schema, inferring a schema."""
