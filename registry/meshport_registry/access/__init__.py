"""Who reads what: requests and grants, what the policies let products read, and the ACLs that were created for grants."""
