"""Operations on sessions that the api and Managers share: place, claim, replace. The caller announces the changes."""
