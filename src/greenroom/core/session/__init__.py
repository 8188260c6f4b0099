"""The states of a session, and the decisions about it: starts, deadlines, authorization, streams and shares."""
