"""Makes one result out of several: merges, votes, picks; pure, and usable without Dify.

What needs a mind of its own (a judge, a writer) is worded here and read here; whoever asks stands elsewhere.
"""
