-- What a conversation is to one of its members alone, and how members react to messages.

-- Since when it is pinned, Unix time; 0: it is not.
ALTER TABLE im_read_mark ADD COLUMN pinned_ms INTEGER NOT NULL DEFAULT 0;
-- Whether its user wants no notifications.
ALTER TABLE im_read_mark ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
-- Up to where its user has cleared the history, and how many messages there are up to there.
ALTER TABLE im_read_mark ADD COLUMN cleared_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE im_read_mark ADD COLUMN cleared_no INTEGER NOT NULL DEFAULT 0;
CREATE INDEX im_read_mark_pinned ON im_read_mark (owner, pinned_ms) WHERE pinned_ms > 0;
CREATE INDEX im_read_mark_cleared ON im_read_mark (owner, cleared_seq) WHERE cleared_seq > 0;

-- How many conversations a user pins.
ALTER TABLE im_tally ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;

-- How a user reacts to a message.
CREATE TABLE im_reaction (
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    conv_seq INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    reactions TEXT NOT NULL, -- a line for each
    PRIMARY KEY (lo, hi, conv_seq, user_id)
) STRICT, WITHOUT ROWID;
