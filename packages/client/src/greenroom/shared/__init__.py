"""The part that the server and the client library share: the errors of answers, and the statuses of sessions."""
