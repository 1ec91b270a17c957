"""The registers an administrator brings: boards and schools, persons, background."""
