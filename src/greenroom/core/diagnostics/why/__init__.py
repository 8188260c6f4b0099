"""Answers to "Why?": the decisions of Greenroom, drawn as the rules that were checked, in their order."""
