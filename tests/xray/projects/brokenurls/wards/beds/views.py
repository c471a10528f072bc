"""No view of the name that the URLs want."""
