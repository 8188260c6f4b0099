"""Operations on sessions that the api and Managers share: place, claim, replace. The roles call them and notify."""
