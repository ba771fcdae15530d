"""How the schema came to be, revision by revision. Run by `elicence migrate`, never by the service itself."""
