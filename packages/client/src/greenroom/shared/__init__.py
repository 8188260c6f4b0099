"""Code that the server and the client library share: the errors of the api and the statuses of sessions."""
