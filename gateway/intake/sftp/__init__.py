"""SFTP version 3: requests in, answers out."""
