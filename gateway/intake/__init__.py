"""Role: the SFTP endpoint. It can't read what it receives."""
