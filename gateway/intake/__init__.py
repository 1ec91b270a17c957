"""The role that receives: SFTP, and no key that opens what it received."""
