"""What is written by a command and kept in the repository: locales, node tables, workflows, tables of results."""
