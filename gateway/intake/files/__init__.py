"""A vendor's folders and what is arriving in them; knows no protocol."""
