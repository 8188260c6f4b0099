"""The provider `libcloud`: machines of the clouds that Apache Libcloud supports."""
