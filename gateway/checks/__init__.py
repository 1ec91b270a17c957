"""A decrypted stream goes in; batches of checked records and findings come out."""
